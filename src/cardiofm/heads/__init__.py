"""Answers on top of the embedding: heads that explain themselves, made from labels, used on recordings.

>>> from cardiofm import heads
>>> head = heads.load("af")
>>> head.about.classes
('not AF', 'AF')
"""

from __future__ import annotations

from cardiofm.heads.head import Head, Prediction, load

__all__ = ["Head", "Prediction", "load"]
