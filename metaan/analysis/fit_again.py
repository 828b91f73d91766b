"""A result fitted again, as a record of its own, to some of its studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from metaan.core.many import BoolArray
from metaan.measures.record import Effects
from metaan.models.beta_binomial import beta_binomial
from metaan.models.design import take
from metaan.models.glmm import glmm_of
from metaan.models.multilevel import multilevel
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.pool import fit_normal
from metaan.models.regress import regress
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.stratified import StratifiedResult, mantel_haenszel, peto

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fit_again"]


def fit_again(res: PoolResult | RegressResult, keep: BoolArray) -> PoolResult | RegressResult:
    """Result of the same options for the studies `keep`, shape (k,), on the scale of `res`.

    Raises
    ------
    InputError, ConvergenceError
        What the model itself says of studies that it cannot be fitted to.
    """
    if isinstance(res, MultilevelResult):
        return _multilevel(res, keep)
    if isinstance(res, RegressResult):
        spec = res.spec
        return regress(
            take(res.effects, keep), spec.formula or "~ 1", method=spec.method, test=spec.test, level=spec.level,
            pi=spec.pi,
        )  # fmt: skip
    made = _AGAIN[res.spec.model](res, keep)
    return made.back() if res.scale == "display" else made


def _multilevel(res: MultilevelResult, keep: BoolArray) -> MultilevelResult:
    spec, vcov = res.spec, res.vcov
    return multilevel(
        take(res.effects, keep), "/".join(res.levels), formula=spec.formula or "~ 1", method=spec.method,
        test=spec.test, level=spec.level, vcov=None if vcov is None else vcov[np.ix_(keep, keep)],
    )  # fmt: skip


def _normal(res: PoolResult, keep: BoolArray) -> PoolResult:
    a = res.weights[keep] if res.spec.method == "GENQ" else None
    return fit_normal(take(res.effects, keep), res.spec, a=a)


def _glmm(res: PoolResult, keep: BoolArray) -> PoolResult:
    spec = res.spec
    return glmm_of(
        take(res.effects, keep), model=spec.likelihood if spec.likelihood in ("CM.EL", "CM.AL") else None,
        nodes=spec.nodes, test=spec.test, level=spec.level, pi=spec.pi, ci=_interval(res),
    )  # fmt: skip


def _beta_binomial(res: PoolResult, keep: BoolArray) -> PoolResult:
    eff, spec = take(res.effects, keep), res.spec
    made = beta_binomial(
        _rows(eff), events=eff.events, total=eff.total, study=eff.study, test=spec.test, ci=_interval(res),
        level=spec.level, pi=spec.pi,
    )  # fmt: skip
    return cast("PoolResult", made)


def _interval(res: PoolResult) -> str:
    return "profile" if res.spec.ci == "profile" else "wald"


def _tables(res: PoolResult, keep: BoolArray) -> PoolResult:
    eff, spec = take(res.effects, keep), res.spec
    cells: dict[str, Any] = dict(eff.inputs or {})
    if spec.method == "Peto":
        return peto(_rows(eff), study=eff.study, level=spec.level, **cells)
    yates = cast("StratifiedResult", res).yates
    return mantel_haenszel(spec.measure, _rows(eff), study=eff.study, level=spec.level, continuity=yates, **cells)


def _rows(eff: Effects) -> pd.DataFrame | None:
    """Rows behind the effects, which say what effective counts were made from."""
    return eff.data if eff.data is not None and len(eff.data) == eff.k else None


_AGAIN: Final[Mapping[str, Callable[[PoolResult, BoolArray], PoolResult]]] = {
    "normal": _normal, "glmm": _glmm, "beta-binomial": _beta_binomial, "stratified": _tables,
}  # fmt: skip
