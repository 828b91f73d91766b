"""Small-study effects by exact likelihood: the model of counts of a result, with a function of n as moderator."""

from __future__ import annotations

import math
from typing import Any, Final

from metaan.analysis.bias_data import Studied
from metaan.analysis.bias_regression import LIMITS, check_varies
from metaan.analysis.test_result import TestResult
from metaan.models.beta_binomial import beta_binomial
from metaan.models.glmm import glmm
from metaan.models.text import exact_model, reference
from metaan.validate import FloatArray

__all__ = ["likelihood_test"]

_LINK: Final = {"PROBIT": "PLO", "CLOGLOG": "PLO"}
_SAID: Final = ("tau2-zero", "tau2-unbounded", "rho-zero", "rho-one", "separated", "two-maxima", "not-converged")
"""Notes of the fit that concern the test."""


def likelihood_test(of: Studied, x: FloatArray, predictor: str, *, limit: bool) -> TestResult:
    """Wald test of `x` as the moderator of `glmm` or `beta_binomial`; `of` is of a result of one of them.

    Raises
    ------
    DataError
        A predictor that is the same in every study.
    ConvergenceError
        The likelihood has no finite maximum.
    """
    check_varies(of, x, predictor)
    fit = _fit(of, x)
    values = {"slope": float(fit.estimate[1]), "slope_se": float(fit.se[1])}
    if limit:
        ends = (float(value[0]) for value in (fit.estimate, fit.ci_low, fit.ci_high))
        values |= dict(zip(LIMITS, ends, strict=True))
    values |= {"tau2": fit.tau2} if hasattr(fit, "tau2") else {"rho": fit.rho}
    df = float(fit.df[1])
    kind = "Beta-binomial model" if of.spec.model == "beta-binomial" else exact_model(of.spec.likelihood, of.spec.link)
    return TestResult(
        test="Regression test of funnel asymmetry by exact likelihood",
        null=f"no association of the effects with {predictor}",
        symbol="z" if math.isinf(df) else "t", statistic=float(fit.statistic[1]), df=df, pvalue=float(fit.pvalue[1]),
        k=of.eff.k, measure=of.eff.measure,
        model=f"{kind} with {predictor} as moderator; {reference(of.spec.test, moderators=True)}",
        values=values, notes=of.notes + tuple(note for note in fit.notes if note.code in _SAID),
    )  # fmt: skip


def _fit(of: Studied, x: FloatArray) -> Any:
    import pandas as pd

    eff, spec = of.eff, of.spec
    rows = pd.DataFrame({"x": x})
    how: dict[str, Any] = {"study": eff.study, "formula": "~ x", "test": spec.test, "level": spec.level}
    counts: dict[str, Any] = dict(eff.inputs or {})
    if eff.events is not None:
        counts = {"events": eff.events, "total": eff.total}
    if spec.model == "beta-binomial":
        return beta_binomial(rows, **counts, **how)
    model = spec.likelihood if spec.likelihood not in ("binomial", "poisson") else None
    link = spec.link if spec.measure in ("PLO", *_LINK) else None
    return glmm(_LINK.get(spec.measure, spec.measure), rows, model=model, link=link, nodes=spec.nodes, **counts, **how)
