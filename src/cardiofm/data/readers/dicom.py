"""DICOM waveforms (ECG and haemodynamic objects): one channel per entry of each multiplex group.

The format: DICOM PS3.3 C.10.9 (Waveform Module).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cardiofm.data.readers.channels import Channel, in_mv
from cardiofm.signals import SignalError


def channels(path: Path) -> list[Channel]:
    """Every waveform channel of a DICOM file, in mV where its sensitivity is a voltage; padding samples are NaN."""
    import pydicom
    from pydicom.waveforms import multiplex_array

    dataset = pydicom.dcmread(path)
    if "WaveformSequence" not in dataset:
        raise SignalError(f"{path.name} must hold a waveform, found a DICOM object without one")
    found = []
    for index, group in enumerate(dataset.WaveformSequence):
        values = multiplex_array(dataset, index, as_raw=False)  # (N, C)
        raw = multiplex_array(dataset, index, as_raw=True)
        padding = group.get("WaveformPaddingValue")
        if isinstance(padding, bytes):
            padding = int.from_bytes(padding, "little", signed=str(group.WaveformSampleInterpretation).startswith("S"))
        start_s = float(group.get("MultiplexGroupTimeOffset") or 0.0) / 1000.0
        for i, channel in enumerate(group.ChannelDefinitionSequence):
            source = channel.ChannelSourceSequence[0]
            name = str(source.get("CodeMeaning") or channel.get("ChannelLabel") or i + 1)
            units = channel.get("ChannelSensitivityUnitsSequence")
            factor, unit = in_mv(str(units[0].CodeValue) if units else None)
            samples = np.asarray(values[:, i] * factor, np.float32)
            if padding is not None:
                samples[raw[:, i] == padding] = np.nan
            skew_s = float(channel.get("ChannelTimeSkew") or 0.0)
            found.append(Channel(name, float(group.SamplingFrequency), samples, unit, start_s + skew_s))
    return found
