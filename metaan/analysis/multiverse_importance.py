"""How much of the spread of a multiverse each choice is behind."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from metaan.validate import FloatArray

__all__ = ["shares", "shift"]

IntArray = npt.NDArray[np.intp]
_SINGULAR: Final = 1e-10
_NOTHING: Final = 1e-24  # variance, over the square of the mean, that counts as none


def shares(y: FloatArray, factors: list[IntArray]) -> FloatArray:
    """Share of the variance of y that each factor explains, by Lindeman, Merenda and Gold; the sum is R2.

    Each factor gets its gain in R2 of a linear model with main effects, averaged over every order in which the factors
    can enter. NaN where y does not vary.

    Parameters
    ----------
    y : array of shape (n,)
    factors : list of array of int, shape (n,)
        Level of each analysis.
    """
    centred = y - y.mean()
    total = float(centred @ centred)
    if total <= _NOTHING * y.size * max(float(np.mean(y * y)), 1e-300):
        return np.full(len(factors), np.nan)
    columns, owner = _dummies(factors)
    gram, moment = columns.T @ columns, columns.T @ centred
    explained = {
        some: _explained(gram, moment, np.isin(owner, some)) / total
        for size in range(len(factors) + 1)
        for some in combinations(range(len(factors)), size)
    }
    return np.array([_gain(explained, j, len(factors)) for j in range(len(factors))])


def _dummies(factors: list[IntArray]) -> tuple[FloatArray, IntArray]:
    """Centred indicators of the levels, and the factor of each."""
    blocks = [(codes[:, None] == np.unique(codes)[1:]).astype(np.float64) for codes in factors]
    columns = np.concatenate(blocks, axis=1)
    owner = np.concatenate([np.full(block.shape[1], j, dtype=np.intp) for j, block in enumerate(blocks)])
    return columns - columns.mean(axis=0), owner


def _explained(gram: FloatArray, moment: FloatArray, chosen: npt.NDArray[np.bool_]) -> float:
    """Sum of squares of the fit to the columns that are chosen, of which some may be redundant."""
    part = moment[chosen]
    inverse = np.linalg.pinv(gram[np.ix_(chosen, chosen)], rcond=_SINGULAR, hermitian=True)
    return float(part @ inverse @ part)


def _gain(explained: dict[tuple[int, ...], float], j: int, p: int) -> float:
    """Mean gain of factor j over the orders of p factors."""
    others = [i for i in range(p) if i != j]
    return sum(
        (explained[tuple(sorted((*some, j)))] - explained[some]) / (p * math.comb(p - 1, size))
        for size in range(p)
        for some in combinations(others, size)
    )


def shift(y: FloatArray, codes: IntArray, cells: IntArray) -> float:
    """Largest mean difference of y between two levels, of analyses that are in the same cell; NaN where none are.

    Parameters
    ----------
    y : array of shape (n,)
    codes, cells : array of int, shape (n,)
        Level of each analysis, and what it has in common with others: a number for each combination of other choices.
    """
    shape = (int(cells.max()) + 1, int(codes.max()) + 1)
    place = np.ravel_multi_index((cells, codes), shape)
    count, total = (np.bincount(place, weights=w, minlength=shape[0] * shape[1]) for w in (None, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (total / count).reshape(shape)
    apart = [mean[:, i] - mean[:, j] for i, j in combinations(range(shape[1]), 2)]
    known = [part[np.isfinite(part)] for part in apart]
    return max((abs(float(part.mean())) for part in known if part.size), default=math.nan)
