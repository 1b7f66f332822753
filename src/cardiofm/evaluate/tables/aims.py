"""The page's first table: what was aimed at, what was measured, and the best of what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cardiofm.evaluate.tables.markdown import header, line, number, ranged

Result = dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """One row: which figure of which file, what was aimed at, and who stands beside it.

    `where` chooses the rows of `results/<file>.json`; among them `ours` is CardioFM's method and `rivals` are methods
    with the words for them, of which the best is shown. Exactly one of `at_most` and `at_least` is the aim, in the
    figure's own unit; `paper` is what the paper claims of its own model, where it claims anything. `answered`: the
    metric that says in which share of the cases there is a figure at all, where that is not nearly always.
    """

    words: str
    file: str
    where: dict[str, Any]
    rivals: dict[str, str]
    at_most: float | None = None
    at_least: float | None = None
    paper: str = ""
    digits: int = 1
    ours: str = "CardioFM"
    head: str = ""
    answered: str = ""

    def cells(self, results: dict[str, Result]) -> tuple[str, ...] | None:
        """The row in Markdown, or None where its figure is not there."""
        rows = [r for r in results.get(self.file, {}).get("rows", []) if "group" not in r]
        given = [r for r in rows if all(r.get(k) == v for k, v in (self.where | {"metric": self.answered}).items())]
        rows = [r for r in rows if all(r.get(key) == value for key, value in self.where.items())]
        own = next((r for r in rows if r["method"] == self.ours and self.head in ("", r.get("head"))), None)
        if own is None:
            return None
        better = min if self.at_most is not None else max
        best = better((r for r in rows if r["method"] in self.rivals), key=lambda r: r["value"], default=None)
        share = next((r["value"] for r in given if r["method"] == self.ours), None)
        beside = f"{number(best['value'], self.digits)} {self.rivals[best['method']]}" if best else "–"
        return (
            self.words + (f" ({100 * share:.3g} % answered)" if share is not None else ""),
            ranged(own, self.digits, bold=True),
            beside,
            self.paper or "–",
            *self._verdict(own["value"], 1.0 if share is None else share),
        )

    def _verdict(self, value: float, share: float) -> tuple[str, str]:
        """The aim and whether it is met; a figure of few of the cases meets nothing."""
        if self.at_most is not None:
            bound, met = f"≤ {self.at_most:g}", value <= self.at_most
        else:
            assert self.at_least is not None, "an aim has a bound"
            bound, met = f"≥ {self.at_least:g}", value >= self.at_least
        return bound, "**missed**" if not met else "met" if share >= _MOST else "**mostly refused**"


_MOST = 0.5  # share of the cases that a figure has to be of
_TOOLS = {
    "neurokit2": "NeuroKit2",
    "neurokit2 dwt": "NeuroKit2",
    "neurokit2 prominence": "NeuroKit2",
    "xqrs": "xqrs",
    "openecg": "openecg",
    "openecg v1": "openecg v1",
    "classical": "classical detectors",
    "second reader": "a second reader",
    "irregularity alone": "irregularity alone",
}
_FROZEN = {
    "untrained": "the untrained network",
    "minirocket": "MiniRocket",
    "hand-crafted": "hand-crafted numbers",
    "before the alarm": "numbers before the alarm",
    "openecg": "openecg",
    "constant": "a constant",
}
_DRAWN = {
    "untrained": "the untrained network",
    "mean": "the mean",
    "template": "a beat template",
    "template at other": "a beat template",
    "match": "the likest stretch",
    "line": "a line",
    "classical": "the wavelet coder",
    "wavelet": "the wavelet coder, as many bits",
    "flac": "FLAC",
}
_CLEAN = {"set": "all five", "quality": "clean"}
_GAP = {"set": "bidmc", "gap_s": 1.0, "other": "visible"}
_PAT = {"task": "pat", "set": "bidmc + challenge-2015"}
_ALARM = {"set": "challenge-2015", "task": "alarm, type known", "metric": "AUROC"}
_LINEAR, _TUNED, _BOTH = ("model", "linear"), ("model, fine-tuned", "linear"), ("model + hand-crafted", "fused")


def _of_ptb_xl(task: str, metric: str) -> dict[str, Any]:
    return {"set": "ptb-xl", "task": task, "metric": metric}


_FIVE = _of_ptb_xl("superclasses", "macro-AUROC")

AIMS = (
    *(
        Aim(
            f"QT, {said}, ms", "intervals", {"task": "qt", "set": which, "metric": metric}, _TOOLS, at_most, paper=paper
        )
        for said, which, metric, at_most, paper in (
            ("LUDB, mean error of a beat", "ludb", "mae_ms", 12, "20.2"),
            ("LUDB, median error of a record", "ludb", "record_median_ms", 9, ""),
            ("QTDB, mean error of a beat", "qtdb", "mae_ms", 20, ""),
            ("QTDB, median error of a beat", "qtdb", "median_ms", 12, ""),
        )
    ),
    Aim(
        "mean error of QT, lower by refusing the least sure tenth, %",
        "intervals",
        {"task": "calibration", "measure": "qt", "metric": "gain_worst_tenth_refused_pct"},
        {},
        at_least=25,
    ),
    *(
        Aim(
            f"waves' on- and offsets, {name}, F1",
            "intervals",
            {"task": "boundaries", "set": which, "metric": "macro_f1", "tolerance": "tight"},
            _TOOLS,
            at_least=aim,
            digits=3,
        )
        for name, which, aim in (("LUDB", "ludb", 0.97), ("QTDB", "qtdb", 0.92))
    ),
    Aim(
        "R peaks, MIT-BIH, F1 at 150 ms",
        "intervals",
        {"task": "r_peaks", "set": "mitdb", "condition": "as recorded", "metric": "f1_150"},
        _TOOLS,
        at_least=0.998,
        digits=4,
    ),
    *(
        Aim(
            f"PAT of a beat, {said}, ms",
            "intervals",
            {**_PAT, "snr_db": snr, "metric": "mae_ms"},
            _TOOLS,
            aim,
            paper=paper,
        )
        for said, snr, aim, paper in (
            ("as recorded", None, 5, "22.7"),
            ("noise at 12 dB", 12.0, 5, ""),
            ("at 6 dB", 6.0, 8, ""),
            ("at 0 dB", 0.0, 14, ""),
            ("at −6 dB", -6.0, 20, ""),
        )
    ),
    Aim(
        "the same, medians of 30 s at −6 dB, ms",
        "intervals",
        {**_PAT, "snr_db": -6.0, "metric": "block_median_ms"},
        _TOOLS,
        4,
    ),
    *(
        Aim(
            f"PAT, {said}, ms",
            "intervals",
            {"task": "pat", "set": which, "snr_db": None, "metric": "mae_ms"},
            _TOOLS,
            aim,
        )
        for said, which, aim in (
            ("running, IEEE SPC 2015", "ieee-spc-2015", 5),
            ("simulated, drifting", "simulated", 4),
        )
    ),
    *(
        Aim(
            f"heart rate, {said}, /min",
            "intervals",
            {"task": "rate", "set": which, "channel": of, "metric": "mae_bpm"},
            _TOOLS,
            aim,
            digits=2,
            answered="answered",
        )
        for said, which, of, aim in (
            ("BIDMC, ECG", "bidmc", "ecg", 0.5),
            ("BIDMC, PPG", "bidmc", "ppg", 0.5),
            ("wrist PPG while running", "ieee-spc-2015", "ppg", 3),
        )
    ),
    Aim(
        "windows without a heart that are refused, share",
        "intervals",
        {"task": "silence", "set": "all", "metric": "refused"},
        _TOOLS,
        at_least=0.995,
        digits=4,
    ),
    *(
        Aim(
            f"AF, hand-held ECG, {said}",
            "intervals",
            {"task": "rhythm", "set": "challenge-2017", "metric": metric},
            _TOOLS,
            at_least=aim,
            digits=3,
        )
        for said, metric, aim in (("AUROC", "auroc_af", 0.98), ("F1", "f1_af", 0.85))
    ),
    *(
        Aim(said, "representation", where, _FROZEN, at_most, at_least, paper, 3 if at_most is None else 1, *how)
        for said, where, how, at_most, at_least, paper in (
            ("PTB-XL, frozen, 5 superclasses, macro-AUROC", _FIVE, _LINEAR, None, 0.88, ""),
            ("the same, its last blocks fine-tuned", _FIVE, _TUNED, None, 0.90, ""),
            ("PTB-XL, with hand-crafted numbers, macro-F1", {**_FIVE, "metric": "macro-F1"}, _BOTH, None, 0.64, ""),
            ("PTB-XL, frozen, normal or not, F1", _of_ptb_xl("abnormal", "F1 (NORM)"), _LINEAR, None, 0.86, "0.86"),
            ("PTB-XL, frozen, sex, AUROC", _of_ptb_xl("sex", "AUROC"), _LINEAR, None, 0.80, ""),
            (
                "PTB-XL, with hand-crafted numbers, age, years",
                _of_ptb_xl("age", "MAE, years"),
                _BOTH,
                9.8,
                None,
                "10.4",
            ),
            ("ICU alarm of known type, true or not, frozen, AUROC", _ALARM, _LINEAR, None, 0.90, ""),
            ("the same, beside the numbers before the alarm", _ALARM, _BOTH, None, 0.96, ""),
            ("its challenge score, of 1", {**_ALARM, "metric": "challenge score"}, _BOTH, None, 0.82, ""),
        )
    ),
    *(
        Aim(
            f"{said} from its codes, five unseen sets, PRD %",
            "zero_shot",
            {**_CLEAN, "channel": of, "metric": "prd"},
            _DRAWN,
            aim,
            ours="model",
        )
        for said, of, aim in (("clean ECG", "ecg", 6), ("clean PPG", "ppg", 4))
    ),
    *(
        Aim(
            f"BIDMC ECG in {rate} bit/s, PRD %",
            "codec",
            {"set": "bidmc", "channel": "ecg", "rate": rate, "metric": "prd"},
            _DRAWN,
            aim,
            ours="model",
        )
        for rate, aim in (("64", 14), ("128", 7))
    ),
    *(
        Aim(
            f"a second hidden, BIDMC, {said}",
            "gaps",
            {**_GAP, "channel": of, "metric": metric},
            _DRAWN,
            at_least=aim,
            digits=3,
            ours="model",
        )
        for said, of, metric, aim in (
            ("ECG, r", "ecg", "r", 0.93),
            ("its R peaks, F1", "ecg", "f1", 0.98),
            ("PPG, r", "ppg", "r", 0.96),
        )
    ),
)


def aims(results: dict[str, Result]) -> list[str]:
    """A row for every aim whose file is among the results, by name of the file."""
    rows = [cells for aim in AIMS if (cells := aim.cells(results)) is not None]
    rows += [_at_the_edge(aim) for aim in results.get("edge", {}).get("aims", [])]
    if not rows:
        return []
    met = sum(cells[-1] == "met" for cells in rows)
    return [
        f"{met} of {len(rows)} aims are met. In brackets the 95 % interval over patients, of whom no weight or probe "
        "learned; beside it the best of the floors and tools of the full table (openecg's weights were made from LUDB "
        "and QTDB themselves). The paper is the one that this architecture is from: its claims are for its own data. "
        "PRD: what is left of a signal's deviations, %. The untrained network is ours before training. The last "
        "rows are of one core.",
        "",
        *header(("what", "CardioFM", "best beside it", "paper", "aim", "")),
        *map(line, rows),
    ]


def _at_the_edge(aim: Result) -> tuple[str, ...]:
    """A row of an aim that its own benchmark has judged."""
    bound = aim["wanted"].replace("at most", "≤").replace("at least", "≥")
    return (aim["aim"], f"**{aim['found']:g}**", "–", "–", bound, "met" if aim["met"] else "**missed**")
