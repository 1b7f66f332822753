"""CardioFM: one self-supervised foundation model for ECG (lead II) and PPG together."""

__version__ = "0.1.0"
