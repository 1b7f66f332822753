"""The recordings of `cardiofm analyze --demo`: three real ECGs from a registry package, and one simulated pair."""

from __future__ import annotations

from dataclasses import replace

from cardiofm.data.simulate import simulate
from cardiofm.signals import Record

SECONDS = 60.0


def records() -> tuple[list[Record], str]:
    """(recordings, attribution of the real ones). The package `ecg-records` must be installed; no network."""
    from ecgfeat.datasets import describe_example, list_examples, load_example

    found, sources = [], []
    for name in sorted(list_examples(), key=lambda n: n != "sinus"):
        about, leads = describe_example(name), load_example(name)
        ecg = leads.values[leads.lead_names.index("II")]
        record = Record.from_arrays(ecg=(ecg, leads.sampling_rate), name=f"real-{name}")
        assert record.ecg is not None
        what = about["description"].split(" (")[0]
        found.append(
            replace(record, ecg=replace(record.ecg, name="II"), notes=("real", what, about["source"].split(" (")[0]))
        )
        sources.append(about["attribution"])
    pair = simulate(SECONDS, fs_ecg_hz=500.0, fs_ppg_hz=125.0, seed=7, ecg_noise_mv=0.02, ppg_noise=0.02).record
    return [*found, replace(pair, name="simulated")], " ".join(dict.fromkeys(sources))
