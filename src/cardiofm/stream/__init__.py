"""Signals as they come, packet by packet, to embeddings and beats, with the windows and the ruler of the pipeline."""

from __future__ import annotations

from cardiofm.stream.events import BeatAt, EmbeddingAt, Event, Notice
from cardiofm.stream.live import Stream

__all__ = ["BeatAt", "EmbeddingAt", "Event", "Notice", "Stream"]
