"""PyMARE, imported when it is first needed."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

__all__ = ["pymare"]


def pymare(part: str = "") -> Any:
    """Module `pymare` or a part of it; its import leaves a file open, which Python would warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return importlib.import_module(f"pymare.{part}" if part else "pymare")
