"""One meta-regression with the rows of its design dealt out anew: what a permutation test compares with.

The design is made orthonormal once, x = q r: however its rows are dealt out, its columns stay orthonormal, and the
fits are those of sums over studies, as in `metaan.core.lines`. Where the variances are too unequal for sums to keep all
digits, every weighted design is factored by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.linear import ESTIMATORS, Design, at
from metaan.core.lines import Lines, inverted, quadratic, trace_of
from metaan.core.maximum import search
from metaan.core.wls import FloatArray, dot

__all__ = ["Permuted", "rearranged"]

IntArray = npt.NDArray[np.intp]

_ALIKE: Final = 1e4  # ratio of variances up to which sums have all digits
_ROOM: Final = 64_000  # numbers in an array at a time
_EXACT: Final = 1e-26  # of the weighted sum of squares: the effects lie on the regression but for rounding
_ROUNDING: Final = 1e-12  # of its root: a smaller statistic from an exact fit is none
_FACTORED: Final = 400_000  # the same of factored designs


class Permuted(NamedTuple):
    """Fits of n rearrangements.

    Parameters
    ----------
    statistic : array of shape (n, p)
        z or t of each coefficient.
    QM : array of shape (n,)
        Test of the moderators; NaN where there are none.
    tau2 : array of shape (n,)
    """

    statistic: FloatArray
    QM: FloatArray
    tau2: FloatArray


def rearranged(
    y: FloatArray, v: FloatArray, x: FloatArray, rows: IntArray, *, method: str, test: str, intercept: int | None
) -> Permuted:
    """Fit with the design of other studies.

    Parameters
    ----------
    y, v : array of shape (k,)
    x : array of shape (k, p)
    rows : array of shape (n, k)
        Which row of the design each study is given; all have the same rows.
    method : str
        A key of `metaan.core.linear.ESTIMATORS`.
    test : {"z", "t", "hk", "hk-adhoc"}
    intercept : int or None
        Column of the intercept.
    """
    by_sums = v.max() < _ALIKE * v.min()
    fit, width = (_by_sums, _ROOM // y.size) if by_sums else (_by_factors, _FACTORED // x.size)
    width, p = max(1, width), x.shape[1]
    order = [i for i in range(p) if i == intercept] + [i for i in range(p) if i != intercept]
    rest = p if intercept is None else p - 1
    one = Design(y, v, x[:, order])
    made = (fit(one, rows[i : i + width], method, rest) for i in range(0, len(rows), width))
    parts = [_tested(of, test, rest, y.size - p) for of in made]
    statistic, *others = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Permuted(statistic[:, np.argsort(order)], *others)


class _Fits(NamedTuple):
    """Fits of n rearrangements with variances as the weights give them."""

    statistic: FloatArray
    """Of each coefficient, (n, p)."""
    wald: FloatArray
    """Of the last columns together, (n,)."""
    tau2: FloatArray
    Q: FloatArray
    size: FloatArray
    """Weighted sum of squares about 0, (n,)."""


def _tested(of: _Fits, test: str, rest: int, df: int) -> Permuted:
    """Statistics as the test wants them, of the coefficients and of the last `rest` together."""
    statistic, joint = of.statistic, of.wald if test == "z" else of.wald / max(rest, 1)
    if test in ("hk", "hk-adhoc"):
        scale = np.where(_EXACT * of.size >= of.Q, 0.0, of.Q) / df
        scale = scale if test == "hk" else np.maximum(scale, 1.0)
        if not scale.all():  # the effects lie on the regression: no rounding error counts as an effect
            unit = np.where(scale > 0, 0.0, _ROUNDING * np.sqrt(of.size))
            statistic = np.where(np.abs(statistic) <= unit[:, None], 0.0, statistic)
            joint = np.where(joint <= unit * unit, 0.0, joint)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(statistic == 0, 0.0, statistic / np.sqrt(scale)[:, None])
            joint = np.where(joint == 0, 0.0, joint / scale)
    return Permuted(statistic, joint if rest else np.full_like(joint, np.nan), of.tau2)


def _by_sums(one: Design, rows: IntArray, method: str, rest: int) -> _Fits:
    basis, r = np.linalg.qr(one.x)
    lines, p = _dealt(one, basis, np.ascontiguousarray(rows.T)), len(r)
    tau2 = np.maximum(_tau2(one, lines, rows, method), 0.0)
    w, weighted, left, inverse = lines.solved(tau2)
    gamma = [one.y @ column - dot(column, left) for column in lines.x]
    values = [
        sum(a * b for a, b in zip(row, gamma, strict=True)) / np.sqrt(quadratic(inverse, list(row)))
        for row in np.linalg.inv(r)
    ]
    last = range(p - rest, p)
    wald = quadratic(inverted([[inverse[i][j] for j in last] for i in last]), gamma[p - rest :]) if rest else tau2
    return _Fits(np.column_stack(values), wald, tau2, dot(weighted, left), one.y**2 @ w)


def _dealt(one: Design, basis: FloatArray, rows: IntArray) -> Lines:
    """Regressions on the rows of the basis that `rows`, (k, n), deals out."""
    x = np.array([column.take(rows) for column in basis.T])
    left = np.repeat(one.y[:, None], rows.shape[1], axis=1)
    for column in x:
        left -= column * (one.y @ column)
    i, j = np.triu_indices(len(x))
    return Lines(left, np.repeat(one.v[:, None], rows.shape[1], axis=1), x, x[i] * x[j])


def _tau2(one: Design, lines: Lines, rows: IntArray, method: str) -> FloatArray:
    """Estimates, not yet truncated at 0."""
    if method in ("ML", "REML"):
        return search(lines, restricted=method == "REML", room=_ROOM).tau2
    if method in _CLOSED:
        return _CLOSED[method](lines, one)
    return ESTIMATORS[method](_designs(one, rows))


def _designs(one: Design, rows: IntArray) -> Design:
    return Design(np.tile(one.y, (len(rows), 1)), np.tile(one.v, (len(rows), 1)), one.x[rows])


def _dersimonian_laird(lines: Lines, one: Design) -> FloatArray:
    w, weighted, left, inverse = lines.solved(np.zeros(lines.v.shape[1]))
    trace = w.sum(axis=0) - trace_of(inverse, lines.sums(w * w))
    return np.asarray((dot(weighted, left) - lines.df()) / trace)


def _hedges_olkin(lines: Lines, one: Design) -> FloatArray:
    free = 1 - sum(column * column for column in lines.x)
    return np.asarray((lines.spread() - dot(lines.v, free)) / lines.df())


def _hunter_schmidt(lines: Lines, factor: float) -> FloatArray:
    w, weighted, left, _ = lines.solved(np.zeros(lines.v.shape[1]))
    return np.asarray((factor * dot(weighted, left) - len(w)) / w.sum(axis=0))


def _sidik_jonkman(lines: Lines, one: Design) -> FloatArray:
    n, start = lines.v.shape[1], float(one.y.var())
    return start * lines.Q(np.full(n, start)) / lines.df() if start > 0 else np.zeros(n)


_CLOSED: Final[dict[str, Callable[[Lines, Design], FloatArray]]] = {
    "CE": lambda lines, one: np.zeros(lines.v.shape[1]),
    "DL": _dersimonian_laird,
    "HE": _hedges_olkin,
    "HS": lambda lines, one: _hunter_schmidt(lines, 1.0),
    "HSk": lambda lines, one: _hunter_schmidt(lines, len(lines.v) / (len(lines.v) - len(lines.x))),
    "SJ": _sidik_jonkman,
}
"""Estimators without a search, as those of `metaan.core.linear`."""


def _by_factors(one: Design, rows: IntArray, method: str, rest: int) -> _Fits:
    data = _designs(one, rows)
    tau2 = np.maximum(ESTIMATORS[method](data), 0.0)
    found = at(data, tau2)
    values = found.beta / np.sqrt(np.diagonal(found.cov, axis1=1, axis2=2))
    p = values.shape[1]
    turned = (found.r[:, p - rest :, p - rest :] @ found.beta[:, p - rest :, None])[..., 0]
    return _Fits(values, (turned**2).sum(axis=1), tau2, found.Q, (found.w * data.y**2).sum(axis=1))
