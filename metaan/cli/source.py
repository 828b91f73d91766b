"""Where a table comes from: a file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

__all__ = ["opened"]

_STDIN: Final = "-"
_NAME: Final = "standard input"  # of the file in which it is kept, and so of messages about it
_MOST: Final = 50 * 2**20 + 1  # one byte more than metaan.read takes, which says so


@contextmanager
def opened(file: str) -> Iterator[str]:
    """Path of a file; ``-`` is a temporary copy of standard input."""
    if file != _STDIN:
        yield file
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("- reads a table from standard input, where there is none: name a FILE, or pipe one in.")
    with TemporaryDirectory() as folder:
        path = Path(folder) / _NAME
        path.write_bytes(sys.stdin.buffer.read(_MOST))
        yield str(path)
