"""CardioFM: one self-supervised foundation model for ECG (lead II) and PPG together.

>>> import cardiofm
>>> record = cardiofm.simulate(10, fs_ecg_hz=500, fs_ppg_hz=125, seed=1).record
>>> record.present
('ecg', 'ppg')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cardiofm.data.readers import read as read
    from cardiofm.data.simulate import simulate as simulate
    from cardiofm.estimator import CardioFMFeatures as CardioFMFeatures
    from cardiofm.handcrafted import features as features
    from cardiofm.pipeline import load as load
    from cardiofm.signals import CheckpointError as CheckpointError
    from cardiofm.signals import Embedding as Embedding
    from cardiofm.signals import InputSpec as InputSpec
    from cardiofm.signals import Record as Record
    from cardiofm.signals import Signal as Signal
    from cardiofm.signals import SignalError as SignalError
    from cardiofm.stream import Stream as Stream

__all__ = [
    "CardioFMFeatures",
    "CheckpointError",
    "Embedding",
    "InputSpec",
    "Record",
    "Signal",
    "SignalError",
    "Stream",
    "__version__",
    "features",
    "load",
    "read",
    "simulate",
]
_HOME = {  # the others live in signals
    "CardioFMFeatures": "estimator",
    "features": "handcrafted",
    "load": "pipeline",
    "read": "data.readers",
    "simulate": "data.simulate",
    "Stream": "stream",
}


def __getattr__(name: str) -> Any:
    """The public names, imported at first use (PEP 562), so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'cardiofm' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"cardiofm.{_HOME.get(name, 'signals')}"), name)


def __dir__() -> list[str]:
    return __all__
