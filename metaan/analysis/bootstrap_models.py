"""What a bootstrap of each model draws, and the statistics of the fits to what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln

from metaan.analysis.refits import check_result, refit
from metaan.analysis.refits_counts import CHUNK, cells_of
from metaan.analysis.refits_terms import refit_terms
from metaan.core.beta_binomial_fit import problem_of
from metaan.core.binomial import Family
from metaan.core.linear import ESTIMATORS, Design, at, residual_heterogeneity
from metaan.core.links import Poisson, family_of
from metaan.core.many import pool_many
from metaan.core.many_beta import beta_many
from metaan.core.many_counts import counts_many
from metaan.core.many_linear import full_rank
from metaan.core.many_tables import Cells, common_effects
from metaan.core.transforms import INVERSE
from metaan.core.wls import Data, FloatArray
from metaan.errors import OptionError
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.glmm_counts import TWO_ARMS, empirical_rates
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult

__all__ = ["Bootstrapped", "model_of"]

IntArray = npt.NDArray[np.intp]
Drawn = tuple[FloatArray, ...]


class Bootstrapped(NamedTuple):
    """A model that is fitted to studies drawn again, or to simulated ones; arrays (k, n), statistics (n, m)."""

    names: tuple[str, ...]
    observed: FloatArray
    studies: Drawn
    """What the model knows of the studies: arrays of shape (k,) or (k, p)."""
    simulated: Callable[[int, np.random.Generator], Drawn] | None
    """The same of n meta-analyses under the model; None where it does not tell."""
    fitted: Callable[[Drawn], FloatArray]
    without: Callable[[], FloatArray]
    """Statistics without each study, (k, m)."""

    def resampled(self, index: IntArray) -> FloatArray:
        """Of studies drawn with replacement, positions (k, n)."""
        return self._in_parts(index.shape[1], lambda part: tuple(column[index[:, part]] for column in self.studies))

    def of_simulated(self, made: Drawn) -> FloatArray:
        """Of simulated meta-analyses."""
        return self._in_parts(made[0].shape[1], lambda part: tuple(column[:, part] for column in made))

    def _in_parts(self, n: int, drawn: Callable[[slice], Drawn]) -> FloatArray:
        width = max(1, CHUNK // len(self.studies[0]))
        parts = [slice(start, min(start + width, n)) for start in range(0, n, width)]
        return np.concatenate([self.fitted(drawn(part)) for part in parts])


def model_of(res: PoolResult | RegressResult) -> Bootstrapped:
    """The bootstrap of a result on its analysis scale.

    Raises
    ------
    OptionError
        A model without one.
    """
    if isinstance(res, RegressResult):
        return _regression(res)
    check_result(res, "bootstrap", ("normal", "glmm", "beta-binomial", "stratified"))
    return _MODELS[res.spec.model](res)


def _some(columns: dict[str, FloatArray], names: tuple[str, ...]) -> FloatArray:
    return np.column_stack([columns[name] for name in names])


def _pooled(res: PoolResult, names: tuple[str, ...], **parts: Any) -> Bootstrapped:
    """What the models of one pooled effect have in common."""

    def without() -> FloatArray:
        return _some(refit(res, ~np.eye(res.k, dtype=bool)).columns, names)

    return Bootstrapped(names, np.array([float(getattr(res, name)) for name in names]), without=without, **parts)


_THREE: Final = ("estimate", "tau2", "I2")


def _present(y: FloatArray, v: FloatArray) -> Data:
    return Data(y, v, v, None, np.full(y.shape[1], float(y.shape[0])))


def _normal(res: PoolResult) -> Bootstrapped:
    eff, spec = res.effects, res.spec
    given = res.weights if spec.method == "GENQ" else np.ones(eff.k)

    def simulated(n: int, rng: np.random.Generator) -> Drawn:
        y = rng.normal(res.estimate, np.sqrt(eff.vi + res.tau2), (n, eff.k)).T
        return y, *(np.broadcast_to(column[:, None], y.shape) for column in (eff.vi, given))

    def fitted(drawn: Drawn) -> FloatArray:
        y, v, a = drawn
        weights = a if spec.method == "GENQ" else None
        test = "z" if spec.test == "kr" else spec.test  # of which nothing is kept
        made = pool_many(_present(y, v), method=spec.method, test=test, level=spec.level, pi="none", weights=weights)
        return _some(made.columns, _THREE)

    return _pooled(res, _THREE, studies=(eff.yi, eff.vi, given), simulated=simulated, fitted=fitted)


def _glmm(res: PoolResult) -> Bootstrapped:
    spec, eff = res.spec, res.effects
    if spec.measure in TWO_ARMS:
        text = "bootstrap takes likelihoods of one arm: trials of two arms are not drawn again in one batch"
        raise OptionError(f"{text}. Use the result of mantel_haenszel, or of pool(effect_size({spec.measure!r}, ...)).")
    counts = spec.measure == "IRLN"
    x, size = ((eff.inputs or {})["events"], (eff.inputs or {})["time"]) if counts else (eff.events, eff.total)
    x, size = np.asarray(x), np.asarray(size)

    def simulated(n: int, rng: np.random.Generator) -> Drawn:
        theta = rng.normal(res.estimate, res.tau, (n, res.k)).T
        rate, wide = INVERSE[spec.measure](theta), np.broadcast_to(size[:, None], theta.shape)
        made = rng.poisson(wide * rate) if counts else rng.binomial(wide.astype(np.int64), rate)
        return made.astype(np.float64), wide

    def fitted(drawn: Drawn) -> FloatArray:
        hit, of = drawn
        family: Family
        if counts:
            add = np.where(hit == 0, 0.5, 0.0)
            family, y, v = Poisson.from_counts(hit, of), np.log((hit + add) / of), 1 / (hit + add)
        else:
            family = family_of(hit, of, spec.link or "logit")
            y, v = empirical_rates(hit, of, spec.link or "logit")
        made = counts_many(family, _present(y, v), test="z", level=spec.level, pi="none", nodes=spec.nodes)[1]
        return _some(made.columns, _THREE)

    finite = bool(np.isfinite(res.se))
    return _pooled(res, _THREE, studies=(x, size), simulated=simulated if finite else None, fitted=fitted)


def _beta_binomial(res: PoolResult) -> Bootstrapped:
    spec, of = res.spec, cast("BetaBinomialResult", res)
    x, size = np.asarray(res.effects.events), np.asarray(res.effects.total)

    def simulated(n: int, rng: np.random.Generator) -> Drawn:
        shape = (n, res.k)
        mean = float(expit(res.estimate))
        if of.rho == 0:
            p = np.full(shape, mean)
        else:
            p = rng.binomial(1, mean, shape) * 1.0 if of.rho == 1 else rng.beta(of.a, of.b, shape)
        wide = np.broadcast_to(size, shape)
        return rng.binomial(wide.astype(np.int64), p).T.astype(np.float64), wide.T

    def fitted(drawn: Drawn) -> FloatArray:
        hit, of_all = drawn
        data = _present(*empirical_rates(hit, of_all, "logit"))
        made = beta_many(problem_of(hit, of_all), data, test="z", level=spec.level, pi="none", ci="wald")
        return _some(made.columns, ("estimate", "rho", "tau2", "I2"))

    finite = bool(np.isfinite(res.se))
    return _pooled(
        res, ("estimate", "rho", "tau2", "I2"), studies=(x, size), simulated=simulated if finite else None,
        fitted=fitted,
    )  # fmt: skip


def _stratified(res: PoolResult) -> Bootstrapped:
    measure, cells = res.spec.measure, cells_of(res.effects)

    def simulated(n: int, rng: np.random.Generator) -> Drawn:
        return _given_margins(measure, cells, res.estimate, n, rng)

    def fitted(drawn: Drawn) -> FloatArray:
        found = common_effects(measure, cast("Cells", drawn))
        return np.where(np.isfinite(found), found, np.nan)[:, None]

    margins = simulated if measure in ("OR", "PETO", "IRR") else None
    return _pooled(res, ("estimate",), studies=cells, simulated=margins, fitted=fitted)


def _given_margins(measure: str, cells: Cells, effect: float, n: int, rng: np.random.Generator) -> Drawn:
    """Tables with the margins of each trial and a common log ratio, (k, n) each cell."""
    a, b, c, d = cells
    if measure == "IRR":  # b and d are times
        share = 1 / (1 + np.exp(-effect) * d / b)
        made = rng.binomial((a + c).astype(np.int64), share, (n, a.size)).T.astype(np.float64)
        times = (np.broadcast_to(column[:, None], made.shape) for column in (b, d))
        one, other = times
        return made, one, (a + c)[:, None] - made, other
    n1, n2, m = a + b, c + d, a + c
    made = np.array([_hypergeometric(*trial, effect, n, rng) for trial in zip(n1, n2, m, strict=True)])
    return made, n1[:, None] - made, m[:, None] - made, (n2 - m)[:, None] + made


def _hypergeometric(n1: float, n2: float, m: float, effect: float, n: int, rng: np.random.Generator) -> FloatArray:
    """Events of the treated arm of a trial with odds ratio exp(effect), from Fisher's non-central distribution."""
    x: FloatArray = np.arange(max(0.0, m - n2), min(n1, m) + 1)
    log_p = x * effect - gammaln(x + 1) - gammaln(n1 - x + 1) - gammaln(m - x + 1) - gammaln(n2 - m + x + 1)
    up = np.exp(log_p - log_p.max()).cumsum()
    return np.asarray(x[np.minimum(np.searchsorted(up, rng.random(n) * up[-1], side="right"), x.size - 1)])


_MODELS: Final[dict[str, Callable[[PoolResult], Bootstrapped]]] = {
    "normal": _normal, "glmm": _glmm, "beta-binomial": _beta_binomial, "stratified": _stratified,
}  # fmt: skip


def _regression(res: RegressResult) -> Bootstrapped:
    spec, eff, x = res.spec, res.effects, res.moderators.matrix
    if spec.model != "regression" or spec.cluster is not None:
        what = "robust results" if spec.cluster is not None else f"regressions of model {spec.model!r}"
        raise OptionError(f"bootstrap takes regressions by regress, not {what}: their estimates are no single studies.")
    names = (*res.names, "tau2", "I2")

    def simulated(n: int, rng: np.random.Generator) -> Drawn:
        y = rng.normal(res.fitted, np.sqrt(eff.vi + res.tau2), (n, eff.k)).T
        wide = np.broadcast_to(x[:, None], (*y.shape, x.shape[1]))
        return y, np.broadcast_to(eff.vi[:, None], y.shape), wide

    def fitted(drawn: Drawn) -> FloatArray:
        y, v, design = drawn
        made = np.full((y.shape[1], len(names)), np.nan)
        data = Design(*(np.ascontiguousarray(np.moveaxis(column, 1, 0)) for column in (y, v, design)))
        known = full_rank(data.x)
        if known.any():
            made[known] = _coefficients(Design(*(column[known] for column in data)), spec.method)
        return made

    def without() -> FloatArray:
        columns = refit_terms(res, ~np.eye(res.k, dtype=bool)).columns
        return np.column_stack([columns["estimate"], columns["tau2"], columns["I2"]])

    observed = np.array([*res.estimate, res.tau2, res.I2])
    return Bootstrapped(names, observed, (eff.yi, eff.vi, x), simulated, fitted, without)


def _coefficients(data: Design, method: str) -> FloatArray:
    """Coefficients, tau2 and I2 as those of `regress`, (n, p + 2)."""
    tau2 = np.maximum(ESTIMATORS[method](data), 0.0)
    of = residual_heterogeneity(tau2, at(data, 0.0), data.df, common=method == "CE")
    return np.column_stack([at(data, tau2).beta, tau2, of["I2"]])
