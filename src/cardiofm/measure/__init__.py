"""Waveforms and head outputs to numbers with a unit, or to a refusal (numpy and scipy only)."""
