"""Kernels compiled by numba, if installed (``pip install 'metaan[fast]'``), behind the functions that use numpy.

A module of kernels is imported when there are enough numbers for it; without numba, or with fewer, numpy does the same
work, and the two agree to 1e-12. The environment variable ``METAAN_FAST`` set to ``off`` keeps to numpy, set to
``always`` takes the kernels for every size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, TypeVar

__all__ = ["ENOUGH", "compiled", "wanted"]

F = TypeVar("F", bound=Callable[..., Any])

ENOUGH: Final = 100_000  # numbers of effect sizes from which kernels repay their import
_SETTING: Final = "METAAN_FAST"


def wanted(numbers: int, least: int) -> bool:
    """Whether compiled kernels are there and take over: from `least` numbers on."""
    setting = os.environ.get(_SETTING, "")
    return setting != "off" and (numbers >= least or setting == "always") and _installed()


def _installed() -> bool:
    global _there
    if _there is None:
        _there = find_spec("numba") is not None
    return _there


_there: bool | None = None


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers; on disk where that can be written, so that it is compiled once.

    Division by zero gives inf or NaN as in numpy, other threads run meanwhile, and sums may be taken in the order
    that vector instructions ask for.
    """
    import numba

    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": {"reassoc", "contract", "arcp"}}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder for the cache can be written
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
