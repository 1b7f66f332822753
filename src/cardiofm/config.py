"""Strict TOML or dict to frozen dataclass and back, with `encoder.depth=2` overrides and "did you mean"."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ConfigError(ValueError):
    """A setting that cannot be used: names it, what was found, and the nearest valid name or type."""


def from_dict(cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """A frozen dataclass `cls` from nested dicts; an unknown key or a wrong type is a `ConfigError`.

    >>> from cardiofm.signals import InputSpec
    >>> from_dict(InputSpec, {"window_s": 20}).tokens
    250
    >>> from_dict(InputSpec, {"windows_s": 20})
    Traceback (most recent call last):
    cardiofm.config.ConfigError: unknown setting 'windows_s'; did you mean 'window_s'?
    """
    hints = get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cast(Any, cls)) if f.init]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {where + near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"unknown setting {where + key!r}; {hint}")
    return cls(**{k: _convert(hints[k], v, where + k) for k, v in values.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """The nested dict of a config dataclass, ready for JSON (tuples become lists)."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return plain(config)


def load(cls: type[T], path: str | Path | None = None, overrides: list[str] | tuple[str, ...] = ()) -> T:
    """`cls` from a TOML file that states only its differences from the defaults, then `a.b=value` overrides.

    A file that says `like = "other.toml"` (beside it) states its differences from that one instead.
    """
    values = {} if path is None else _read(Path(path))
    for text in overrides:
        _set(values, text)
    return from_dict(cls, values)


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"a config file must exist, found nothing at {path}")
    if path.resolve() in above:
        raise ConfigError(f"a config file must not be like itself, found {path} in its own line of `like`")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} must be TOML: {error}") from error
    like = values.pop("like", None)
    return values if like is None else _merged(_read(path.parent / like, (*above, path.resolve())), values)


def _merged(first: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """Nested settings, those of `then` over those of `first`."""
    both = {k: _merged(first[k], v) for k, v in then.items() if isinstance(v, dict) and isinstance(first.get(k), dict)}
    return first | then | both


def _set(values: dict[str, Any], text: str) -> None:
    key, sep, raw = text.partition("=")
    if not sep or not key.strip():
        raise ConfigError(f"an override must look like encoder.depth=2, found {text!r}")
    try:
        value = tomllib.loads(f"v = {raw.strip()}")["v"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    *parents, leaf = key.strip().split(".")
    for name in parents:
        values = values.setdefault(name, {})
    values[leaf] = value


def _convert(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        (kind,) = [k for k in get_args(kind) if k is not type(None)]
        return _convert(kind, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where!r} must be a table, found {value!r}")
        return {k: _convert(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where!r} must be a list, found {value!r}")
        return tuple(_convert(get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{where!r} must be a table, found {value!r}")
        return from_dict(cast(Any, kind), value, where + ".")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (kind is int and isinstance(value, bool)) or not isinstance(value, kind):
        raise ConfigError(f"{where!r} must be {kind.__name__}, found {value!r}")
    return value
