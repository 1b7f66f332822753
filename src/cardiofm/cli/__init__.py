"""The command line: parse, call, print. Results go to stdout, progress and what went wrong to stderr."""

from __future__ import annotations

from cardiofm.cli import apply, codec, heads, make, stream
from cardiofm.cli.root import app

__all__ = ["app", "apply", "codec", "heads", "main", "make", "stream"]


def main() -> None:
    """Run the command line."""
    app()
