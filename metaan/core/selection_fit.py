"""Maximum likelihood of selection models: Newton's method from several starts at once.

tau2 and delta are searched on logarithmic scales, theta = c (exp(x) - o) with o = 1 where 0 is allowed, between bounds
that hold a coordinate while the likelihood rises beyond them. Coefficients stand in the basis in which the weighted
design is orthonormal. The likelihood can have several maxima: a coarse grid of means, tau2 and delta gives the starts,
and the highest maximum wins. Rows with tau2 held at 0 go along in the same batch, for the test of tau2 = 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.ascent import newton_step
from metaan.core.linear import ESTIMATORS, Design, at
from metaan.core.roots import bracketed_root
from metaan.core.selection import At, Problem, Rule, evaluate, log_likelihood, problem_of
from metaan.core.tau2 import maximum_likelihood
from metaan.core.wls import Data, FloatArray

__all__ = ["HIGHEST", "Given", "SelectionFit", "fit_selection", "profile_limits"]

BoolArray = npt.NDArray[np.bool_]

HIGHEST: Final = 100.0  # delta, as in metafor
_LOWEST: Final = {"step": 1e-10, "beta": 1e-5}
_LARGEST: Final = 1e4  # tau2 in units of the spread of the effects
_STEPS: Final = 200
_LONGEST: Final = 1.5  # step on a logarithmic scale
_DONE: Final = 1e-7  # what a step promises to add to the log-likelihood, after which one more is taken
_RULES: Final = (64, 128, 256, 512)
_AGREE: Final = 1e-9  # log-likelihoods of two rules
_COARSE: Final = 24
_BEHIND: Final = 10.0  # log-likelihood by which a start may be behind the best
_MANY: Final = (4, 3)  # starts, and those with tau2 = 0
_FEW: Final = (5, 1)
_WIDER: Final = 12  # doublings of the way from the maximum to a limit
_CLOSE: Final = 1e-9
_SAME: Final = 1e-3  # distance of maxima in standard errors that are one
_BESIDE: Final = 0.2  # distance from a maximum at which another row is on its way to it
_SHIFTS: Final = np.array([0.0, 0.6, 1.6])  # of the mean, down, in typical standard deviations
_WIDE_SHIFTS: Final = np.array([0.0, 0.6, 1.6, 5.0, -2.0, -6.0])
_SPREADS: Final = np.array([0.3, 1.0, 2.5])
_WIDE_SPREADS: Final = np.array([0.3, 1.0, 2.5, 10.0])
_STARTS: Final = {
    "step": ((1.0,), (0.25,), (0.04,), (0.002,), (4.0,)),
    "beta": ((1.0, 1.0), (0.6, 0.9), (1.0, 3.0), (0.4, 0.4), (2.0, 6.0), (0.05, 2.0), (4.0, 0.3)),
}
_RISING: Final = ((0.1,), (2.0,), (8.0,), (30.0,))


class Given(NamedTuple):
    """A data set and what is asked of it."""

    y: FloatArray
    v: FloatArray
    x: FloatArray
    rule: Rule
    sign: float = 1.0
    null: float = 0.0
    precision: FloatArray | None = None
    delta: FloatArray | None = None
    """Known parameters of the weight function; None where they are estimated."""
    random: bool = True
    """Whether tau2 is estimated, and not 0."""


class SelectionFit(NamedTuple):
    """The highest maximum."""

    beta: FloatArray
    tau2: float
    delta: FloatArray
    loglik: float
    cov: FloatArray
    """Of (beta, tau2, delta), from the observed information; NaN for what is known or at a bound."""
    beta_null: FloatArray
    """Without selection."""
    tau2_null: float
    loglik_null: float
    loglik_zero: float
    """With tau2 = 0; NaN where it is 0 anyway."""
    held: BoolArray
    """Whether each delta is at a bound, (D,)."""
    unbounded: bool
    """Whether tau2 is at its upper bound."""
    maxima: int
    iterations: int
    converged: bool


class _Scale(NamedTuple):
    """Coordinates of the search."""

    turn: FloatArray
    """From coefficients of the search to those of the design, (p, p)."""
    c: FloatArray
    """Units of tau2 and each delta, (1 + D,)."""
    o: FloatArray
    low: FloatArray
    high: FloatArray

    def values(self, x: FloatArray) -> FloatArray:
        """tau2 and delta at x of shape (n, P)."""
        return np.asarray(self.c * (np.exp(x) - self.o))

    def places(self, values: FloatArray) -> FloatArray:
        """Inverse of `values`."""
        return np.asarray(np.log(values / self.c + self.o))


def _parameters(rule: Rule) -> int:
    return {"step": int(rule.steps.size), "beta": 2}.get(rule.kind, 1)


def _start(of: Given) -> tuple[FloatArray, float, float, FloatArray]:
    """Coefficients and tau2 without selection, its log-likelihood, and the triangular factor of the weighted design."""
    one = Design(of.y, of.v, of.x)
    if not of.random:
        tau2 = 0.0
    elif of.x.shape[1] == 1 and np.ptp(of.x) == 0:
        tau2 = float(maximum_likelihood(Data.of_one(of.y, of.v).column()).tau2[0])
    else:
        tau2 = max(0.0, float(ESTIMATORS["ML"](Design(of.y[None], of.v[None], of.x[None]))[0]))
    fit = at(one, tau2)
    loglik = -(of.y.size * np.log(2 * np.pi) - np.log(fit.w).sum() + float(fit.Q)) / 2
    return fit.beta, tau2, float(loglik), fit.r


def _problem(of: Given, turn: FloatArray, nodes: int) -> Problem:
    return problem_of(
        of.y, of.v, of.x @ turn, of.rule, sign=of.sign, null=of.null, precision=of.precision, nodes=nodes
    )  # fmt: skip


def fit_selection(of: Given) -> SelectionFit:
    """Fit a selection model by maximum likelihood."""
    beta, tau2, loglik_null, r = _start(of)
    scale = _scale(of, np.asarray(np.linalg.inv(r)))
    coarse = _problem(of, scale.turn, _COARSE)
    starts, pinned = _scan(of, coarse, scale, r @ beta, tau2)
    free = np.ones((len(starts), starts.shape[1]), dtype=bool)
    free[pinned, beta.size] = False
    free[:, beta.size + 1 :] = of.delta is None
    problem = coarse if of.rule.kind == "step" else _problem(of, scale.turn, _RULES[0])
    return _finish(of, problem, scale, starts, free, pinned)._replace(
        beta_null=beta, tau2_null=tau2, loglik_null=loglik_null
    )  # fmt: skip


def _scale(of: Given, turn: FloatArray) -> _Scale:
    count = _parameters(of.rule)
    typical = of.y.size / float((1 / of.v).sum())
    least = _LOWEST.get(of.rule.kind, 0.0)
    largest = _LARGEST * (float(np.var(of.y)) + float(of.v.max()))
    c, o = np.append(typical, np.ones(count)), np.append(1.0, np.full(count, float(least == 0)))
    ends = (np.append(tau2, np.full(count, delta)) for tau2, delta in ((0.0, least), (largest, HIGHEST)))
    low, high = (np.log(end / c + o) for end in ends)
    if of.delta is not None:
        low[1:], high[1:] = -np.inf, np.inf  # no bounds for what is known
    endless = np.full(turn.shape[0], np.inf)
    return _Scale(turn, c, o, np.append(-endless, low), np.append(endless, high))


def _scan(of: Given, problem: Problem, scale: _Scale, gamma: FloatArray, tau2: float) -> tuple[FloatArray, BoolArray]:
    """Starts, (n, P), the best of a coarse grid for each delta, and which of them have tau2 = 0."""
    p, count = gamma.size, scale.c.size - 1
    levels = _STARTS.get(of.rule.kind, _RISING)
    deltas = np.array([level if len(level) == count else np.cumprod(np.full(count, level[0])) for level in levels])
    deltas = np.clip(deltas, 1e-3, HIGHEST / 2) if of.delta is None else of.delta[None]
    few = of.rule.kind == "step"
    spreads = (
        np.append(0.0, (_SPREADS if few else _WIDE_SPREADS) * max(tau2, 0.2 * scale.c[0])) if of.random else np.zeros(1)
    )
    down = np.linalg.lstsq(problem.x, np.ones(of.y.size), rcond=None)[0] * np.sqrt(tau2 + np.sort(of.v)[of.v.size // 2])
    means = gamma - (_SHIFTS if few else _WIDE_SHIFTS)[:, None] * down
    d, t, m = (part.ravel() for part in np.indices((len(deltas), spreads.size, len(means))))
    points = np.column_stack([means[m], scale.places(np.column_stack([spreads[t], deltas[d]]))])
    with np.errstate(all="ignore"):
        loglik = log_likelihood(problem, points[:, :p], spreads[t], deltas[d])
    loglik = np.where(np.isfinite(loglik), loglik, -np.inf).reshape(len(deltas), spreads.size, len(means))
    chosen, pinned = [], []
    for at_zero in (False, True) if of.random else (True,):
        part = loglik[:, :1] if at_zero else loglik[:, 1:]
        best = part.reshape(len(deltas), -1)
        tops = best.max(axis=1)
        most = (_FEW if few else _MANY)[at_zero and of.random]
        for i in np.argsort(-tops)[:most]:
            if tops[i] < tops.max() - _BEHIND:
                continue
            place = int(best[i].argmax()) + (0 if at_zero else len(means))
            chosen.append(points[i * spreads.size * len(means) + place])
            pinned.append(at_zero)
    return np.array(chosen), np.array(pinned)


def _value(problem: Problem, scale: _Scale, x: FloatArray) -> At:
    """Log-likelihood and derivatives in the coordinates of the search."""
    p = x.shape[1] - scale.c.size
    with np.errstate(all="ignore"):
        theta = scale.values(x[:, p:])
        made = evaluate(problem, x[:, :p], np.maximum(theta[:, 0], 0.0), theta[:, 1:])
        slope = theta + scale.c * scale.o
        made.gradient[:, p:] *= slope
        made.hessian[:, p:] *= slope[:, :, None]
        made.hessian[:, :, p:] *= slope[:, None]
        diagonal = np.arange(p, x.shape[1])
        made.hessian[:, diagonal, diagonal] += made.gradient[:, p:]
    bad = ~(np.isfinite(made.loglik) & np.isfinite(made.hessian).all(axis=(1, 2)))
    return made._replace(loglik=np.where(bad, -np.inf, made.loglik))


class _Climbed(NamedTuple):
    x: FloatArray
    at: At
    done: BoolArray
    steps: int

    @property
    def loglik(self) -> FloatArray:
        """Log-likelihood of each row."""
        return self.at.loglik

    def take(self, rows: list[int]) -> _Climbed:
        """Some of the rows."""
        return _Climbed(self.x[rows], At(*(part[rows] for part in self.at)), self.done[rows], self.steps)


def _climb(problem: Problem, scale: _Scale, start: FloatArray, free: BoolArray, *, rivals: bool = False) -> _Climbed:
    """Newton's method in every row: eigenvalues of the wrong sign are turned, a step too far is cut to a quarter.

    Of rivals, rows of one problem, those that come near the end of another, and are lower, go no further.
    """
    p = start.shape[1] - scale.c.size
    x, now = start.copy(), _value(problem, scale, start)
    radius, done, steps = np.ones(len(x)), ~np.isfinite(now.loglik), 0
    over = done.copy()
    while steps < _STEPS and not over.all():
        steps += 1
        every = not over.any()
        row = slice(None) if every else np.flatnonzero(~over)
        here = now if every else At(*(part[row] for part in now))
        step, promise = _newton(x[row], here, free[row], scale)
        length = np.abs(step[:, p:]).max(axis=1)
        cut = np.minimum(radius[row], _LONGEST / np.maximum(length, 1e-300))
        new = np.minimum(np.maximum(x[row] + cut[:, None] * step, scale.low), scale.high)
        then = _value(problem, scale, new)
        up = then.loglik >= here.loglik - 1e-12 * (1 + np.abs(here.loglik))
        done[row] = (up & (promise < _DONE)) | (radius[row] < 1e-12)
        radius[row] = np.where(up, np.minimum(1.0, 4 * radius[row]), radius[row] / 4)
        if every and up.all():
            x, now = new, then
        else:
            moved = np.arange(len(x))[row][up]
            x[moved] = new[up]
            for old, part in zip(now, then, strict=True):
                old[moved] = part[up]
        over = done | _near(x, now.loglik, done, free) if rivals and done.any() else done
    return _Climbed(x, now, done & np.isfinite(now.loglik), steps)


def _near(x: FloatArray, loglik: FloatArray, done: BoolArray, free: BoolArray) -> BoolArray:
    """Whether a row is below another that is done, close to it and free in the same coordinates."""
    gap = np.abs(x[:, None] - x).max(axis=2)
    alike = (free[:, None] == free).all(axis=2)
    return np.asarray(((gap < _BESIDE) & alike & done & (loglik > loglik[:, None])).any(axis=1))


def _newton(x: FloatArray, at_x: At, free: BoolArray, scale: _Scale) -> tuple[FloatArray, FloatArray]:
    """Steps and what they promise; coordinates at a bound beyond which the likelihood rises stay there."""
    g = at_x.gradient
    held = ~free | ((x <= scale.low) & (g <= 0)) | ((x >= scale.high) & (g >= 0))
    g = np.where(held, 0.0, g)
    both = held[:, :, None] | held[:, None, :]
    step, promise = newton_step(g, np.where(both, -np.eye(x.shape[1]), at_x.hessian))
    return np.where(held, 0.0, step), promise


def _finish(
    of: Given, problem: Problem, scale: _Scale, starts: FloatArray, free: BoolArray, pinned: BoolArray
) -> SelectionFit:  # fmt: skip
    found = _climb(problem, scale, starts, free, rivals=True)
    where = [np.flatnonzero(pinned == kind) for kind in (False, True)]
    best = [int(rows[found.loglik[rows].argmax()]) if rows.size else -1 for rows in where]
    keep = [i for i in best if i >= 0]
    polished = found.take(keep)
    if problem.cells.z.size:
        polished = _refined(of, scale, polished, free[keep])
    last = int(polished.loglik.argmax())
    p = scale.turn.shape[0]
    theta = scale.values(polished.x[last : last + 1, p:])[0]
    hessian = _natural(polished.at, last, theta + scale.c * scale.o)
    ends = (polished.x[last] <= scale.low) | (polished.x[last] >= scale.high)
    known = ~free[keep][last] | ends
    return SelectionFit(
        beta=scale.turn @ polished.x[last, :p], tau2=max(float(theta[0]), 0.0), delta=theta[1:],
        loglik=float(polished.loglik[last]), cov=_covariance(hessian, known, scale.turn),
        beta_null=np.empty(0), tau2_null=np.nan, loglik_null=np.nan,
        loglik_zero=float(polished.loglik[-1]) if of.random else np.nan,
        held=ends[p + 1 :] & (of.delta is None), unbounded=bool(polished.x[last, p] >= scale.high[p]),
        maxima=_different(found, where[0] if of.random else where[1]), iterations=found.steps,
        converged=bool(polished.done[last]),
    )  # fmt: skip


def _natural(at_x: At, row: int, slope: FloatArray) -> FloatArray:
    """Hessian in (coefficients, tau2, delta) from that in the coordinates of the search."""
    p = at_x.gradient.shape[1] - slope.size
    whole = np.concatenate([np.ones(p), slope])
    bend = np.concatenate([np.zeros(p), at_x.gradient[row, p:]])
    return np.asarray((at_x.hessian[row] - np.diag(bend)) / np.outer(whole, whole))


def _refined(of: Given, scale: _Scale, found: _Climbed, free: BoolArray) -> _Climbed:
    """The same maxima by finer rules until two of them agree."""
    for nodes in _RULES[1:]:
        problem = _problem(of, scale.turn, nodes)
        again = _climb(problem, scale, found.x, free)
        if (np.abs(again.loglik - found.loglik) < _AGREE).all():
            return again
        found = again
    return found._replace(done=np.zeros_like(found.done))


def _covariance(hessian: FloatArray, known: BoolArray, turn: FloatArray) -> FloatArray:
    """Inverse of the observed information; NaN for what is known, and for all where there is no maximum."""
    size, p = hessian.shape[0], turn.shape[0]
    some = np.flatnonzero(~known)
    part = -hessian[np.ix_(some, some)]
    unit = np.sqrt(np.abs(np.diagonal(part)))
    cov = np.full((size, size), np.nan)
    with np.errstate(all="ignore"):
        scaled = part / np.outer(unit, unit)
    if not np.isfinite(scaled).all() or np.linalg.eigvalsh(scaled)[0] <= 1e-13:
        return cov
    made = np.linalg.inv(scaled) / np.outer(unit, unit)
    whole = np.eye(size)
    whole[:p, :p] = turn
    back = whole[np.ix_(some, some)]
    cov[np.ix_(some, some)] = back @ made @ back.T
    return cov


def _different(found: _Climbed, rows: npt.NDArray[np.intp]) -> int:
    """Number of different maxima that were found."""
    ends: list[FloatArray] = []
    for i in rows[found.done[rows]]:
        if all(np.abs(found.x[i] - end).max() > _SAME for end in ends):
            ends.append(found.x[i])
    return len(ends)


def profile_limits(of: Given, fit: SelectionFit, level: float) -> tuple[FloatArray, FloatArray]:
    """Where the profile log-likelihood of each coefficient is chi2(1)/2 below its maximum, (p,) each.

    Infinite where it never falls so far.
    """
    limits = [_limits(of, fit, j, fit.loglik - float(chdtri(1.0, 1 - level)) / 2) for j in range(fit.beta.size)]
    low, high = np.array(limits).T
    return low, high


def _limits(of: Given, fit: SelectionFit, j: int, height: float) -> tuple[float, float]:
    """Limits of coefficient j, the last one of the basis, so that holding its coordinate holds it."""
    p = fit.beta.size
    order = np.append(np.delete(np.arange(p), j), j)
    turned = of._replace(x=of.x[:, order])
    r: FloatArray = np.linalg.qr(turned.x / np.sqrt(of.v + fit.tau2)[:, None])[1]
    scale = _scale(turned, np.asarray(np.linalg.inv(r)))
    problem = _problem(turned, scale.turn, _RULES[1])
    x = np.concatenate([r @ fit.beta[order], scale.places(np.append(fit.tau2, fit.delta))])
    x = np.clip(np.stack([x, x]), scale.low, scale.high)
    top, unit = x[0, p - 1], 1 / r[-1, -1]
    free = np.ones(x.shape, dtype=bool)
    free[:, p - 1], free[:, p] = False, of.random
    free[:, p + 1 :] = of.delta is None

    def excess(c: FloatArray) -> FloatArray:
        x[:, p - 1] = c
        found = _climb(problem, scale, x, free)
        x[:] = found.x
        return np.asarray(found.loglik - height)

    se = np.sqrt(fit.cov[j, j]) / abs(unit)
    reach = np.array([-1.0, 1.0]) * (2 * se if np.isfinite(se) else 2.0)
    near, far, at_near, at_far = np.full(2, top), top + reach, np.full(2, fit.loglik - height), np.empty(2)
    for _ in range(_WIDER):
        at_far = excess(far)
        inside = at_far > 0
        if not inside.any():
            break
        near, at_near = np.where(inside, far, near), np.where(inside, at_far, at_near)
        far = np.where(inside, far + (far - top), far)
    root = bracketed_root(excess, near, far, at_near, at_far, tolerance=_CLOSE)
    ends = np.sort(np.where(at_far > 0, np.sign(reach) * np.inf, root) * unit)
    return float(ends[0]), float(ends[1])
