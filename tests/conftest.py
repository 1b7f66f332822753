"""Shared test set-up: real recordings are used where they are, and the skip says so where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA_ROOT = Path(os.environ.get("CARDIOFM_DATA_ROOT", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `shared` on a machine without the recordings."""
    if DATA_ROOT.is_dir():
        return
    skip = pytest.mark.skip(reason=f"needs the real recordings at {DATA_ROOT} (or CARDIOFM_DATA_ROOT)")
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real recordings, laid out as their home archives lay them out."""
    return DATA_ROOT
