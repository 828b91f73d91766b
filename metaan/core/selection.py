"""Likelihood of effects of which some were selected by their p-values, with its derivatives.

Study i is seen with a probability in proportion to w(p_i), so that its effect has the density
N(y; m_i, v_i + tau2) w(p) over the expectation A_i of w (Hedges 1992). Everything stands on the scale of z = y/sqrt(v),
on which all studies share the weight function and the density has a standard deviation of at least 1: one set of cells
serves them all. A cell is an interval on which w is constant, whose normal probability and Hermite moments are closed
forms, or a node of a Gauss-Legendre rule. With u = (y - m)/s, s2 = v + tau2 and He the Hermite polynomials, the
derivatives of the normal density f are f_m = He1(u) f/s, f_t = He2(u) f/(2 s2), f_mm = He2 f/s2, f_mt = He3 f/(2 s3)
and f_tt = He4 f/(4 s4), so that five sums over cells give A_i and all its derivatives.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr, ndtri

from metaan.core.selection_step import StepCells, step_cells, step_sums, step_value
from metaan.core.wls import FloatArray

__all__ = [
    "NULL",
    "At",
    "Problem",
    "Rule",
    "evaluate",
    "intervals",
    "log_likelihood",
    "log_weights",
    "problem_of",
    "pvalues",
]

_SQRT_2PI: Final = float(np.sqrt(2 * np.pi))
_CLIP: Final = 1e-5  # p-values of the kinds whose weights are infinite or 0 at an end (Citkowicz & Vevea 2017)
_FAR: Final = 8.5  # z beyond which p or 1 - p is 0 to rounding
NULL: Final = {"step": 1.0, "beta": 1.0, "halfnorm": 0.0, "negexp": 0.0, "logistic": 0.0, "power": 0.0}
"""Value of every delta at which there is no selection."""


class Rule(NamedTuple):
    """A weight function but for its parameters."""

    kind: str
    sides: int
    """Of the p-value: 1 (large effects are significant) or 2."""
    steps: FloatArray
    """Ends of the intervals of a step function, without 1; else at most one, below which the weight is 1."""


class _Cells(NamedTuple):
    """Cells of a rule, in z."""

    ends: FloatArray
    constant: npt.NDArray[np.intp]
    """Which of the intervals between the ends have a constant weight, (E,)."""
    inside: FloatArray
    """A point of each of these."""
    z: FloatArray
    mass: FloatArray


class Problem(NamedTuple):
    """One data set, its effects turned so that large ones are significant and those of the null at 0."""

    y: FloatArray
    """(k,)"""
    v: FloatArray
    x: FloatArray
    """Design, (k, p), turned as the effects are."""
    shift: float
    """What was taken from the effects: m = x beta - shift."""
    rule: Rule
    own: FloatArray
    """Features of the p-values of the studies, (D, k)."""
    cells: _Cells
    features: FloatArray
    """Of the intervals of constant weight and then the nodes, (D, k or 1, C)."""
    steps: StepCells | None
    """The cells of a step function once more, merged by their weights."""


class At(NamedTuple):
    """Log-likelihood and derivatives in (beta, tau2, delta) at n points."""

    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray


def pvalues(z: FloatArray, sides: int) -> FloatArray:
    """P-values of z."""
    return np.asarray(ndtr(-z) if sides == 1 else 2 * ndtr(-np.abs(z)))


def intervals(p: FloatArray, steps: FloatArray) -> npt.NDArray[np.intp]:
    """Interval of each p-value among those that end at the steps and at 1, its upper end included."""
    return np.searchsorted(steps, p, side="left")


def features(p: FloatArray, rule: Rule) -> FloatArray:
    """What the logarithm of the weight is a function of, (D, ...)."""
    if rule.kind == "step":
        return np.asarray(intervals(p, rule.steps) == np.arange(1, rule.steps.size + 1)[:, None], dtype=np.float64)
    if rule.kind in ("beta", "power"):
        p = np.clip(p, _CLIP, 1 - _CLIP)
    if rule.kind == "beta":
        return np.stack([np.log(p), np.log1p(-p)])
    f: FloatArray = -p * p if rule.kind == "halfnorm" else np.log1p(-p) if rule.kind == "power" else -p
    return np.asarray(f if rule.steps.size == 0 else np.where(p <= rule.steps[0], 0.0, f))[None]


def _cells(rule: Rule, nodes: int) -> _Cells:
    critical = -np.asarray(ndtri(rule.steps / rule.sides))
    if rule.kind == "step":
        ends = critical[::-1] if rule.sides == 1 else np.concatenate([-critical, critical[::-1]])
        inside = np.concatenate([ends[:1] - 1, (ends[1:] + ends[:-1]) / 2, ends[-1:] + 1])
        return _Cells(ends, np.arange(inside.size), inside, np.empty(0), np.empty(0))
    clipped = rule.kind in ("beta", "power")
    far = -float(ndtri(_CLIP / rule.sides)) if clipped else _FAR
    high = float(critical[0]) if rule.steps.size else far
    if rule.sides == 1:
        z, mass = _legendre(-far, high, nodes)
        return _Cells(np.array([-far, high]), np.array([0, 2]), np.array([-far - 1e-9, high + 1e-9]), z, mass)
    if not clipped:
        z, mass = _legendre(0.0, high, nodes // 2)
        ends, constant, inside = np.array([-high, high]), np.array([0, 2]), np.array([-high - 1e-9, high + 1e-9])
    else:  # 1 - p is nearly a multiple of z about 0, and a power of it is smooth in log z
        near = float(ndtri((1 + _CLIP) / 2))
        middle = min(1.0, high)
        log_z, log_mass = _legendre(np.log(near), np.log(middle), nodes // 2)
        z, mass = _legendre(middle, high, nodes // 2)
        z, mass = np.concatenate([np.exp(log_z), z]), np.concatenate([np.exp(log_z) * log_mass, mass])
        ends, constant = np.array([-high, -near, near, high]), np.array([0, 2, 4])
        inside = np.array([-high - 1e-9, 0.0, high + 1e-9])
    return _Cells(ends, constant, inside, np.concatenate([-z, z]), np.concatenate([mass, mass]))


def _legendre(low: float, high: float, n: int) -> tuple[FloatArray, FloatArray]:
    t, w = _rule(n)
    half = (high - low) / 2
    return low + half * (1 + t), half * w


@lru_cache(maxsize=16)
def _rule(n: int) -> tuple[FloatArray, FloatArray]:
    t, w = np.polynomial.legendre.leggauss(n)
    return np.asarray(t), np.asarray(w)


def problem_of(
    y: FloatArray, v: FloatArray, x: FloatArray, rule: Rule, *, sign: float = 1.0, null: float = 0.0,
    precision: FloatArray | None = None, nodes: int = 64,
) -> Problem:  # fmt: skip
    """Lay out a data set.

    Parameters
    ----------
    y, v : array of shape (k,)
    x : array of shape (k, p)
    rule : Rule
    sign : float
        -1 where small effects are the significant ones.
    null : float
        Effect that the p-values test.
    precision : array of shape (k,), optional
        Factors of delta.
    nodes : int
        Of the whole Gauss-Legendre rule.
    """
    turned = sign * (y - null)
    cells = _cells(rule, nodes)
    of_cells = features(pvalues(np.concatenate([cells.inside, cells.z]), rule.sides), rule)[:, None]
    own = features(pvalues(turned / np.sqrt(v), rule.sides), rule)
    if precision is not None:
        of_cells, own = of_cells * precision[:, None], own * precision
    steps = step_cells(cells.ends, np.sqrt(v), rule.sides, own) if rule.kind == "step" else None
    return Problem(turned, v, sign * x, sign * null, rule, own, cells, of_cells, steps)


def log_weights(kind: str, features: FloatArray, delta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Logarithm of the weight and its first and second derivatives in each delta (mixed ones are 0).

    Parameters
    ----------
    features : array of shape (D, ...)
    delta : array of shape (n, D)

    Returns
    -------
    tuple of arrays of shape (n, ...), (D, n or 1, ...) and (D, n or 1, ...), or None for second derivatives of 0
    """
    f, d = features[:, None], delta.T.reshape(*delta.T.shape, *[1] * (features.ndim - 1))
    if kind == "logistic":
        x = -d * f
        share = expit(x)
        return np.asarray((-np.logaddexp(0.0, x) + np.log(2)).sum(axis=0)), f * share, -f * f * share * (1 - share)
    if kind == "step":
        return np.asarray((np.log(d) * f).sum(axis=0)), f / d, -f / d**2
    return np.asarray(((d - NULL[kind]) * f).sum(axis=0)), f, None


def evaluate(problem: Problem, beta: FloatArray, tau2: FloatArray, delta: FloatArray) -> At:
    """Log-likelihood with gradient and Hessian at n points.

    Parameters
    ----------
    beta : array of shape (n, p)
    tau2 : array of shape (n,)
    delta : array of shape (n, D)
    """
    m = beta @ problem.x.T - problem.shift
    s2 = problem.v + tau2[:, None]
    s = np.sqrt(s2)
    u = (problem.y - m) / s
    if problem.steps is not None:
        return At(*step_sums(problem.steps, problem.x, m, s, u, delta))
    log_w, first, second = log_weights(problem.rule.kind, problem.own, delta)
    log_a, a1, a2 = _normaliser(problem, m, s, delta)
    value = (-u * u / 2 - np.log(_SQRT_2PI * s) + log_w - log_a).sum(axis=1)
    count = delta.shape[1]
    gradient, hessian = -a1, a1[..., :, None] * a1[..., None, :] - a2
    gradient[..., 0] += u / s
    gradient[..., 1] += (u * u - 1) / (2 * s2)
    hessian[..., 0, 0] -= 1 / s2
    mixed = u / (s * s2)
    hessian[..., 0, 1] -= mixed
    hessian[..., 1, 0] -= mixed
    hessian[..., 1, 1] += (0.5 - u * u) / (s2 * s2)
    for a in range(count):
        gradient[..., 2 + a] += first[a]
        if second is not None:
            hessian[..., 2 + a, 2 + a] += second[a]
    return _by_coefficients(problem.x, value, gradient, hessian)


def log_likelihood(problem: Problem, beta: FloatArray, tau2: FloatArray, delta: FloatArray) -> FloatArray:
    """The value of `evaluate` alone."""
    m, s = beta @ problem.x.T - problem.shift, np.sqrt(problem.v + tau2[:, None])
    u = (problem.y - m) / s
    if problem.steps is not None:
        return step_value(problem.steps, m, s, u, delta)
    own, every = (log_weights(problem.rule.kind, f, delta)[0] for f in (problem.own, problem.features))
    top = every.max(axis=(1, 2), keepdims=True)
    total = (_moments(problem, m, s, 1)[..., 0, :] * np.exp(every - top)).sum(axis=-1)
    return np.asarray((-u * u / 2 - np.log(_SQRT_2PI * s * total) - top[..., 0] + own).sum(axis=1))


def _normaliser(
    problem: Problem, m: FloatArray, s: FloatArray, delta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """log A of each study, (n, k), and first and second derivatives of A over A in (m, tau2, delta)."""
    log_w, first, second = log_weights(problem.rule.kind, problem.features, delta)
    top = log_w.max(axis=(1, 2), keepdims=True)
    w = np.exp(log_w - top)
    count = delta.shape[1]
    columns = [w, *(w * first[a] for a in range(count))]
    for a in range(count):
        for b in range(a, count):
            curve = first[a] * first[b]
            columns.append(w * (curve if second is None or a != b else curve + second[a]))
    sums = np.matmul(_moments(problem, m, s, 5), np.stack(columns, axis=-1))  # (n, k, 5, columns)
    total = sums[..., 0, 0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_a = np.log(total) + top[..., 0]
        sums = sums / total[..., None, None]
    s2 = s * s
    a1 = np.empty((*m.shape, 2 + count))
    a2 = np.empty((*m.shape, 2 + count, 2 + count))
    a1[..., 0], a1[..., 1] = sums[..., 1, 0] / s, sums[..., 2, 0] / (2 * s2)
    a2[..., 0, 0], a2[..., 1, 1] = sums[..., 2, 0] / s2, sums[..., 4, 0] / (4 * s2 * s2)
    a2[..., 0, 1] = a2[..., 1, 0] = sums[..., 3, 0] / (2 * s * s2)
    place = 1 + count
    for a in range(count):
        a1[..., 2 + a] = sums[..., 0, 1 + a]
        a2[..., 0, 2 + a] = a2[..., 2 + a, 0] = sums[..., 1, 1 + a] / s
        a2[..., 1, 2 + a] = a2[..., 2 + a, 1] = sums[..., 2, 1 + a] / (2 * s2)
        for b in range(a, count):
            a2[..., 2 + a, 2 + b] = a2[..., 2 + b, 2 + a] = sums[..., 0, place]
            place += 1
    return log_a, a1, a2


def _moments(problem: Problem, m: FloatArray, s: FloatArray, count: int) -> FloatArray:
    """Expectations of He0 ... He4, or of He0 alone, over each cell, (n, k, count, C)."""
    cells, scale, place = problem.cells, np.sqrt(problem.v) / s, m / s
    edge = scale[..., None] * cells.ends - place[..., None]
    primitive = np.zeros((*m.shape, count, cells.ends.size + 2))
    above = edge > 0
    primitive[..., 0, 1:-1] = np.where(above, -1.0, 1.0) * ndtr(
        -np.abs(edge)
    )  # less 1 above 0, where it keeps its digits
    if count > 1:
        density = np.exp(-edge * edge / 2) / _SQRT_2PI
        primitive[..., 1, 1:-1] = -density
        primitive[..., 2, 1:-1] = -edge * density
        primitive[..., 3, 1:-1] = (1 - edge * edge) * density
        primitive[..., 4, 1:-1] = (3 - edge * edge) * edge * density
    whole = primitive[..., 1:] - primitive[..., :-1]
    about_zero = np.zeros((*m.shape, cells.ends.size + 1))
    about_zero[..., :-1] = above
    about_zero[..., 1:] -= above
    about_zero[..., -1] += 1
    whole[..., 0, :] += about_zero
    if cells.z.size == 0:
        return whole
    e = cells.constant.size
    made = np.empty((*m.shape, count, e + cells.z.size))
    made[..., :e] = whole[..., cells.constant]
    u = scale[..., None] * cells.z - place[..., None]
    squared = u * u
    f = np.exp(-squared / 2) * (cells.mass * scale[..., None] / _SQRT_2PI)
    made[..., 0, e:] = f
    if count > 1:
        made[..., 1, e:] = u * f
        made[..., 2, e:] = (squared - 1) * f
        made[..., 3, e:] = (squared - 3) * u * f
        made[..., 4, e:] = ((squared - 6) * squared + 3) * f
    return made


def _by_coefficients(x: FloatArray, value: FloatArray, local: FloatArray, curve: FloatArray) -> At:
    """From derivatives in the studies' means to those in the coefficients."""
    n, p, size = value.size, x.shape[1], x.shape[1] + local.shape[-1] - 1
    gradient, hessian = np.empty((n, size)), np.empty((n, size, size))
    gradient[:, :p], gradient[:, p:] = local[..., 0] @ x, local[..., 1:].sum(axis=1)
    hessian[:, :p, :p] = np.matmul(x.T * curve[:, None, :, 0, 0], x)
    cross = np.matmul(x.T, curve[:, :, 0, 1:])
    hessian[:, :p, p:], hessian[:, p:, :p] = cross, np.swapaxes(cross, 1, 2)
    hessian[:, p:, p:] = curve[..., 1:, 1:].sum(axis=1)
    return At(value, gradient, hessian)
