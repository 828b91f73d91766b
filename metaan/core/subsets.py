"""Subsets of studies: all of them, or a sample of different ones."""

from __future__ import annotations

from typing import Final

import numpy as np

from metaan.core.many import BoolArray
from metaan.core.wls import FloatArray

__all__ = ["MOST", "all_subsets", "in_and_out", "random_subsets"]

MOST: Final = 2**20
"""Subsets that are made at most."""
_NUMBERED: Final = 21  # studies whose subsets can be numbered and drawn by number


def all_subsets(k: int) -> BoolArray:
    """Every subset but the empty one, shape (k, 2^k - 1): study i is in subset j, from 1, if bit i of j is set."""
    return _bits(np.arange(1, 2**k), k)


def random_subsets(k: int, n: int, seed: int) -> BoolArray:
    """So many different subsets, none empty, shape (k, n), each equally likely: a study is in half of them.

    Parameters
    ----------
    k : int
    n : int
        Fewer than 2^k - 1, at most `MOST`.
    seed : int
    """
    rng = np.random.default_rng(seed)
    if k <= _NUMBERED:
        return _bits(rng.choice(2**k - 1, size=n, replace=False) + 1, k)
    found = np.zeros((0, k), dtype=np.bool_)
    while found.shape[0] < n:
        drawn = np.concatenate([found, rng.integers(0, 2, size=(n, k), dtype=np.uint8).astype(np.bool_)])
        drawn = drawn[drawn.any(axis=1)]
        first = np.unique(np.packbits(drawn, axis=1), axis=0, return_index=True)[1]
        found = drawn[np.sort(first)]
    return np.ascontiguousarray(found[:n].T)


def _bits(number: np.ndarray[tuple[int], np.dtype[np.int64]], k: int) -> BoolArray:
    return np.asarray((number >> np.arange(k)[:, None]) & 1, dtype=np.bool_)


def in_and_out(included: BoolArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean of values, shape (n, m), over the subsets with and those without each study: (k, m) each.

    NaN where there is no such subset. `included` has shape (n, k).
    """
    present = included.astype(np.float64)
    inside, number = present.T @ values, present.sum(axis=0)[:, None]
    outside = values.sum(axis=0) - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        return inside / number, np.where(included.shape[0] > number, outside / (included.shape[0] - number), np.nan)
