"""What limits the model: hours, steps or parameters."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged


def scaling(result: dict[str, Any]) -> list[str]:
    """A row for each run; each term on people never seen, then on people of the training set."""
    by = {(r["run"], r["split"], r["metric"]): r for r in result["rows"]}
    names = {"guess": "guess of hidden codes, nats", "wave": "hidden waveform", "across": "PPG's codes from the ECG"}
    names["codec"] = "waveform from codes"
    lines = [
        f"**Scaling**: {result['limit']} Mean over patients [95 % interval] of validation patients; after the slash "
        "the same of training patients.",
        "",
        *header(("run", "parameters", "hours seen", *names.values(), "patients")),
    ]
    for name in dict.fromkeys(r["run"] for r in result["rows"]):
        first = by[name, "valid", "guess"]
        cells = [
            f"{ranged(by[name, 'valid', term], 3)} / {number(by[name, 'train', term]['value'], 3)}" for term in names
        ]
        size, hours = f"{number(first['parameters_m'], 2)} M", f"{first['hours_seen']:.0f}"
        lines.append(line((name, size, hours, *cells, str(first["patients"]))))
    return [*lines, "", behind("scaling", result)]
