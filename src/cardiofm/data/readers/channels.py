"""Which of a file's channels is the ECG and which the PPG, by the names that the field uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cardiofm.data.windows import motionless
from cardiofm.signals import MIN_FS_HZ, Record, Samples, Signal, SignalError

# After lead II the leads that look most like it: the closer in the frontal plane, or the more lateral, the earlier.
LEADS = ("ii", "avf", "i", "v5", "v6", "v4", "v", "iii", "v3", "v2", "v1", "avl", "avr")
LEAD_WORDS = {
    "mlii": "ii",
    "ml2": "ii",
    "mli": "i",
    "mliii": "iii",
    "ml5": "v5",
    "cm5": "v5",
    "cc5": "v5",
    "mcl1": "v1",
}
LEAD_WORDS |= {f"mv{i}": f"v{i}" for i in range(1, 7)} | {f"cm{i}": f"v{i}" for i in range(1, 5)}
LEAD_WORDS |= {"d1": "i", "d2": "ii", "d3": "iii"} | {lead: lead for lead in LEADS}
NO_LEAD = len(LEADS)  # "ECG" alone, "ECG1": an ECG whose lead is not stated
ECG_WORDS = ("ecg", "ekg", "electrocardiogram")
FILLERS = {"lead", "channel", "chan", "ch", "signal", "raw", "wave", "waveform", "wav", "mdc", "data", "values", "mv"}
FILLERS |= {"val", "filtered", "clean", "x", "y", "uv"}
PPG_WORDS = ("pleth", "ppg", "bvp", "plethysmogram", "photoplethysmogram", "plethysmograph", "photoplethysmography")
PPG_COLOURS = {"ir": 1, "infrared": 1, "green": 2, "red": 3}  # after a plain PPG; more pulse, less motion first
NUMERICS = {"hr", "rate", "spo2", "sao2", "sat", "pr", "rr", "quality", "sqi", "bpm", "index", "peak", "peaks", "st"}
MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
MILLIVOLTS |= {"millivolt": 1.0, "microvolt": 1e-3, "volt": 1e3, "millivolts": 1.0, "microvolts": 1e-3, "volts": 1e3}
A_YEAR_S = 3e7
MOST_MV = 30.0  # a beat is rarely above 5 mV, and an artefact seldom lasts for most of a minute


@dataclass(frozen=True)
class Channel:
    """One channel of a file, before it is known what it is; `fs_hz` is None where the file states no rate."""

    name: str
    fs_hz: float | None
    samples: Samples  # in `unit`
    unit: str = "NU"
    start_s: float = 0.0
    notes: tuple[str, ...] = ()


def in_mv(unit: str | None) -> tuple[float, str]:
    """(factor, unit): multiply by the factor to get mV; a unit that is no voltage is kept, an unknown one is "NU".

    >>> in_mv("uV"), in_mv("V"), in_mv("mmHg"), in_mv("")
    ((0.001, 'mV'), (1000.0, 'mV'), (1.0, 'mmHg'), (1.0, 'NU'))
    """
    word = (unit or "").strip()
    factor = MILLIVOLTS.get(word.lower())
    return (1.0, word or "NU") if factor is None else (factor, "mV")


def record(
    name: str, channels: Sequence[Channel], ecg: str | None = None, ppg: str | None = None, fs_hz: float | None = None
) -> Record:
    """A Record from a file's channels: chosen by name, flat ones dropped with a note, `SignalError` if none is left."""
    signals: dict[str, Signal] = {}
    notes: list[str] = []
    for modality, wanted, guess in (("ecg", ecg, _ecg_rank), ("ppg", ppg, _ppg_rank)):
        index = _named(name, channels, modality, wanted) if wanted else _guessed(name, channels, modality, guess)
        if index is None:
            continue
        number, turned = index
        channel = channels[number]
        lead = _lead(channel.name)
        if modality == "ecg":
            labelled = channel.name.strip().startswith("-") and lead != "avr"  # "-II" in a file is lead II upside down
            turned ^= labelled or (not wanted and lead == "avr" and not channel.name.strip().startswith("-"))
            notes += _lead_note(channel.name, lead, turned)
        elif turned:
            notes.append(f"channel {channel.name!r} is turned upside down")
        elif not wanted and _words(channel.name) == ["r"]:
            notes.append(
                f"channel 'R' is taken for a camera's red, whose pulse points down: --ppg=-{channel.name} turns it"
            )
        if modality == "ecg" and lead == "avr" and turned:  # named by what it is now: -aVR, which nobody turns again
            channel = replace(channel, name=_negative(channel.name.strip()))
        signals[modality] = _signal(name, channel, turned, fs_hz, notes)
        notes += channel.notes
    if not signals:
        raise SignalError(
            f"{name} must have an ECG or a PPG channel, found only {_list(channels)}; name one with --ecg or --ppg"
        )
    _drop_flat(name, signals, notes)
    if "ecg" in signals:
        signals["ecg"] = _plausible(signals["ecg"], notes)
    origin_s = min(s.start_s for s in signals.values())
    if origin_s > A_YEAR_S:  # a clock that counts from 1970: the record's own clock starts with its first sample
        signals = {m: replace(s, start_s=s.start_s - origin_s) for m, s in signals.items()}
    return Record(name, signals.get("ecg"), signals.get("ppg"), notes=tuple(dict.fromkeys(notes)))


def _negative(name: str) -> str:
    return name[1:].strip() if name.startswith("-") else f"-{name}"


def _signal(name: str, channel: Channel, turned: bool, fs_hz: float | None, notes: list[str]) -> Signal:
    rate = channel.fs_hz if fs_hz is None else fs_hz
    if rate is None:
        raise SignalError(f"{name} states no sampling rate for channel {channel.name!r}; give it in Hz with --fs")
    if channel.fs_hz is not None and abs(rate - channel.fs_hz) > 1e-6 * channel.fs_hz:
        notes.append(f"channel {channel.name!r}: the given rate {rate:g} Hz replaces the file's {channel.fs_hz:g} Hz")
    return Signal(channel.samples, float(rate), channel.unit, channel.name, channel.start_s, turned)


def _drop_flat(name: str, signals: dict[str, Signal], notes: list[str]) -> None:
    """A channel that never changes carries nothing: it goes with a note, or the record is refused when it was alone."""
    for modality, signal in list(signals.items()):
        found = motionless(signal)
        if found is None:
            continue
        if len(signals) == 1:
            raise SignalError(
                f"{name}: channel {signal.name!r} must hold a changing signal, found {found}; choose another channel"
            )
        notes.append(f"{modality} channel {signal.name!r} left out: {found}")
        del signals[modality]


def _plausible(ecg: Signal, notes: list[str]) -> Signal:
    """The ECG, without its unit where the file says mV of something far larger than a heart makes at the skin."""
    step = round(2 * ecg.fs_hz)  # two seconds hold a beat, and little of the drift of a raw electrode
    part = np.asarray(ecg.samples[: 30 * step])
    pieces = part[: len(part) // step * step].reshape(-1, step) if len(part) > step else part[None]
    pieces = pieces[np.isfinite(pieces).all(1)]
    swing_mv = float(np.median(np.ptp(pieces, axis=1))) if ecg.unit == "mV" and len(pieces) else 0.0
    if swing_mv <= MOST_MV:
        return ecg
    notes.append(
        f"ECG channel {ecg.name!r} swings by {swing_mv:.0f} of what its file calls mV: its unit is not trusted"
    )
    return replace(ecg, unit="NU")


def _named(name: str, channels: Sequence[Channel], modality: str, wanted: str) -> tuple[int, bool] | None:
    """The channel that the user names: exactly, then by its words, then by its number from 1; "-" in front turns it."""
    if wanted.lower() == "none":
        return None
    for text, turned in ((wanted, False), (wanted[1:], True)):
        if turned and not wanted.startswith("-"):
            break
        exact = [i for i, c in enumerate(channels) if c.name.strip() == text.strip()]
        alike = [i for i, c in enumerate(channels) if _spoken(c.name) == _spoken(text)]
        found = exact or alike
        if not found and text.isdigit() and 1 <= int(text) <= len(channels):
            found = [int(text) - 1]
        if len(found) == 1:
            return found[0], turned
        if found:
            raise SignalError(
                f"{name}: --{modality} {wanted} must name one channel, found {len(found)} of that name among "
                f"{_list(channels)}; give its number, counted from 1"
            )
    raise SignalError(f"{name}: --{modality} {wanted} must name a channel; this file has {_list(channels)}")


def _guessed(
    name: str, channels: Sequence[Channel], modality: str, rank: Callable[[str, Sequence[str]], int | None]
) -> tuple[int, bool] | None:
    names = [c.name for c in channels]
    ranks = {i: rank(c.name, names) for i, c in enumerate(channels)}
    found = {i: r for i, r in ranks.items() if r is not None}
    # A trend at 1 Hz may carry the same name as the waveform.
    fast = {i: r for i, r in found.items() if (channels[i].fs_hz or MIN_FS_HZ) >= MIN_FS_HZ}
    found = fast or found
    best = [i for i, r in found.items() if r == min(found.values())]
    if len(best) > 1:
        raise SignalError(
            f"{name}: which channel is the {modality.upper()} must be clear, found {len(best)} equally good "
            f"({', '.join(names[i] for i in best)}) among {_list(channels)}; name one with --{modality}"
        )
    return (best[0], False) if best else None


def _words(name: str) -> list[str]:
    """The words of a channel name, lower case: 'ECG_II,' → ['ecg', 'ii']; 'ECGII' is split, too."""
    words: list[str] = []
    for word in re.findall(r"[a-z]+[0-9]*|[0-9]+", name.lower()):
        head = next((w for w in ("ecg", "ekg", "lead") if word.startswith(w) and word[len(w) :] in LEAD_WORDS), None)
        words += [word] if head is None else [head, word[len(head) :]]
    return words


def _spoken(name: str) -> tuple[int, list[str]]:
    name = name.strip()
    return len(name) - len(name.lstrip("-")), _words(name)


def _own_words(name: str) -> list[str]:
    """Of a path only the last part, unless that says nothing: 'waves/II' → ['ii'], 'ecg/signal' → ['ecg', 'signal']."""
    last = _words(name.rsplit("/", 1)[-1])
    return _words(name) if FILLERS.issuperset(last) else last


def _lead(name: str) -> str | None:
    """The standard lead that a channel name states ('ii', 'v5', …), or None."""
    words = _own_words(name)
    after = max((i + 1 for i, w in enumerate(words) if w in ECG_WORDS), default=0)
    rest = [w for w in words[after:] if w not in FILLERS]
    return LEAD_WORDS.get(rest[0]) if len(rest) == 1 else None


def _is_ecg(word: str) -> bool:
    return re.fullmatch(rf"({'|'.join(ECG_WORDS)})\d*", word) is not None


def _ecg_rank(name: str, names: Sequence[str]) -> int | None:
    """How good a channel is as the ECG, 0 (lead II) first; None where its name says nothing of an ECG."""
    words, lead = _own_words(name), _lead(name)
    if lead is not None:
        return LEADS.index(lead)
    bipolar = len(words) > 1 and all(w in LEAD_WORDS for w in words)  # "V4-V5"
    return NO_LEAD if bipolar or (any(_is_ecg(w) for w in words) and NUMERICS.isdisjoint(words)) else None


def _ppg_rank(name: str, names: Sequence[str]) -> int | None:
    """How good a channel is as the PPG, 0 first; None where its name says nothing of a PPG."""
    words = _own_words(name)
    stems = [re.sub(r"\d+$", "", w) for w in words]
    colour = min((PPG_COLOURS[w] for w in stems if w in PPG_COLOURS), default=0)
    if any(w in PPG_WORDS for w in stems):
        return colour if NUMERICS.isdisjoint(words) else None
    if len(words) == 1 and colour:
        return 10 + colour
    if words == ["r"] and {"r", "g", "b"} <= {n.strip().lower() for n in names}:
        return 20  # a phone camera on a fingertip: red is what passes through
    return None


def _lead_note(name: str, lead: str | None, turned: bool) -> list[str]:
    if lead is None:
        return [f"the lead of ECG channel {name!r} is not stated" + (", turned upside down" if turned else "")]
    if lead == "ii":
        return [f"channel {name!r} is turned upside down"] if turned else []
    minus = "-" if turned ^ name.strip().startswith("-") else ""
    pretty = {"avr": "aVR", "avl": "aVL", "avf": "aVF"}.get(lead, lead.upper())
    return [f"lead {minus}{pretty} instead of lead II"]


def _list(channels: Sequence[Channel]) -> str:
    names = [c.name for c in channels]
    shown = ", ".join(names[:40]) + (f", … ({len(names)} in all)" if len(names) > 40 else "")
    return shown or "no channel at all"
