"""The peers by name: what each needs to be had, and those that a user can have here.

A row of a table is only ever of weights that were run; of the others the table says why they are not there.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cardiofm.evaluate.extractors import (
    anyppg,
    chronos_bolt,
    csfm,
    ecg_fm,
    ecgfounder,
    moment,
    openecg_codec,
    papagei,
    timesfm_2p5,
)
from cardiofm.evaluate.extractors.extractor import Extractor
from cardiofm.signals import CheckpointError, InputSpec

NO_WEIGHTS = "weights not available here"


@dataclass(frozen=True)
class Peer:
    """How a peer is had: from a package of an extra, or from a user's own checkout (`package` None)."""

    make: Callable[[Path | None, Path, InputSpec], Extractor]  # weights, checkout (packages leave it alone)
    package: str | None = None
    extra: str = ""
    with_weights: bool = False  # the package brings them


PEERS = {
    "openecg": Peer(lambda _weights, _repo, spec: openecg_codec.openecg(spec), "openecg", "bench", with_weights=True),
    "timesfm": Peer(lambda weights, _, spec: timesfm_2p5.timesfm(weights, spec), "timesfm", "peers"),
    "chronos-bolt": Peer(lambda weights, _, spec: chronos_bolt.chronos(weights, spec), "chronos", "peers"),
    "moment": Peer(moment.moment),
    "ecg-fm": Peer(ecg_fm.ecg_fm),
    "ecgfounder": Peer(ecgfounder.ecgfounder),
    "papagei-s": Peer(papagei.papagei),
    "anyppg": Peer(anyppg.anyppg),
    "csfm": Peer(csfm.csfm),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--weights NAME=PATH` and `--repo NAME=PATH`, as often as there are peers."""
    of = f"of a peer: {', '.join(PEERS)}; may be given for each"
    parser.add_argument("--weights", nargs="+", default=[], metavar="NAME=PATH", help=f"weights {of}")
    parser.add_argument("--repo", nargs="+", default=[], metavar="NAME=PATH", help=f"checkout {of}")


def named(pairs: list[str]) -> dict[str, Path]:
    """`["anyppg=~/ckpt.pth"]` as paths by name. Raises CheckpointError for another form or an unknown name."""
    found = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if name not in PEERS or not path:
            raise CheckpointError(f"--weights and --repo take NAME=PATH, NAME of {', '.join(PEERS)}, found {pair!r}")
        found[name] = Path(path).expanduser()
    return found


def here(weights: list[str], repos: list[str], spec: InputSpec) -> tuple[list[Extractor], dict[str, str]]:
    """The peers with their weights, and why each of the others is not there."""
    weights_of, repo_of = named(weights), named(repos)
    found, absent = [], {}
    for name, peer in PEERS.items():
        reason = missing(peer, repo_of.get(name))
        if not peer.with_weights and name not in weights_of:
            reason = NO_WEIGHTS
        if reason and name in weights_of:
            raise CheckpointError(f"{name} {reason}")
        if reason:
            absent[name] = reason
        else:
            found.append(peer.make(weights_of.get(name), repo_of.get(name, Path()), spec))
    return found, absent


def untrained(names: list[str], repos: list[str], spec: InputSpec) -> tuple[list[Extractor], dict[str, str]]:
    """The peers with random weights (their own where a package brings them), whose speed is the same; and the absent.

    No name: all of them.
    """
    repo_of, found, absent = named(repos), [], {}
    for name, peer in PEERS.items():
        if names and name not in names:
            continue
        if reason := missing(peer, repo_of.get(name)):
            absent[name] = reason
        else:
            found.append(peer.make(None, repo_of.get(name, Path()), spec))
    return found, absent


def missing(peer: Peer, repo: Path | None) -> str:
    """What a peer lacks beside its weights, or ""."""
    if peer.package is None:
        return "" if repo else "needs a checkout of its code: --repo NAME=PATH"
    installed = importlib.util.find_spec(peer.package) is not None
    return "" if installed else f"is not installed: pip install 'cardiofm[{peer.extra}]'"
