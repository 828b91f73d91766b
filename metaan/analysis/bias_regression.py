"""The regression behind most tests of small-study effects: effects on a predictor, by one of two models."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from metaan.analysis.bias_data import Studied
from metaan.analysis.test_result import TestResult
from metaan.core.coefficients import covariance
from metaan.core.linear import ESTIMATORS, Design, Fit, at
from metaan.errors import DataError, Note, OptionError
from metaan.measures.kinds import KINDS
from metaan.models.text import reference
from metaan.models.wald import coefficient_fields
from metaan.validate import FloatArray, Option

__all__ = [
    "DISPERSION", "LIMITS", "MODEL", "UNEVEN", "Asked", "How", "Line", "check_how", "check_varies", "line",
    "named", "regression_test",
]  # fmt: skip

MODEL: Final = Option(
    "model",
    {
        "lm": "weighted regression with a multiplicative dispersion",
        "rma": "mixed-effects regression with an additive between-study variance",
    },
    "lm",
)
LIMITS: Final = ("limit", "limit_low", "limit_high")
"""Effect in a study without sampling error, and its interval."""
UNEVEN: Final = "uneven-sizes"
"""Code of the note on one study that governs a weighted regression."""
_EXACT: Final = 1e-26  # of the weighted sum of squares: the effects lie on the line but for rounding
_SAME: Final = 1e-10  # of its length: what is left of a predictor that is a combination of the other columns
_TOO_SMALL: Final = 2.0  # factor of a variance from which tests reject twice too often: docs/small_study.md


class How(NamedTuple):
    """Estimator of tau2 and reference distribution."""

    method: str
    test: str


DISPERSION: Final = How("CE", "hk")
"""Weighted least squares whose standard errors have the residual variance as a factor."""


class Asked(NamedTuple):
    """One regression: its numbers and its words."""

    test: str
    y: FloatArray
    v: FloatArray
    x: FloatArray
    predictor: str
    outcome: str = "effects"
    limit: bool = True
    """Whether the predictor is 0 in a study without sampling error."""
    scale: str = ""
    """What the limit is, if it is not the effect itself."""
    turn: Callable[[FloatArray], FloatArray] | None = None
    """From the scale of the regression to that of the limit."""
    other: str = "model='rma' of a result with tau2"
    """What to compare where one study governs the regression."""


class Line(NamedTuple):
    """Effects on a line: the fit, tau2, and whether nothing but rounding is left."""

    fit: Fit
    tau2: float
    exact: bool


def check_how(method: str, test: str) -> How:
    """Refuse what the mixed-effects regression cannot honour."""
    if method not in ESTIMATORS:
        raise OptionError(f"method={method!r} has no regression with a predictor: use model='lm' or another method.")
    if test == "kr" and method != "REML":
        raise OptionError(f"test='kr' (Kenward-Roger) is defined for method='REML' only, not for {method!r}.")
    return How(method, test)


def line(design: Design, how: How, tau2: float | None = None) -> Line:
    """Regression by the estimator of `how`, or at a given tau2; residuals that are rounding errors are set to 0."""
    if tau2 is None:
        tau2 = max(float(ESTIMATORS[how.method](Design(*(a[None] for a in design)))[0]), 0.0)
    fit = at(design, tau2)
    exact = float(fit.Q) <= _EXACT * float((fit.w * design.y**2).sum())
    return Line(fit._replace(residual=np.zeros_like(fit.residual)) if exact else fit, tau2, exact)


def named(test: str, how: How) -> str:
    """Name of a test, told from that of the same test with a dispersion."""
    if how.method == "CE":
        return test
    return f"{test[:-1]}, additive variance)" if test.endswith(")") else f"{test} (additive variance)"


def regression_test(of: Studied, asked: Asked, how: How, notes: tuple[Note, ...] = ()) -> TestResult:
    """Test of the slope of the predictor beside the constant and the moderators of the result.

    Raises
    ------
    DataError
        Too few studies, a predictor without variation, effects that lie exactly on the line.
    OptionError
        Kenward-Roger with too few degrees of freedom.
    """
    x = np.column_stack([of.others, asked.x])
    k, p = x.shape
    if k <= p:
        raise DataError(f"A regression with {p} coefficients needs more than {p} studies; there are {k}.")
    check_varies(of, asked.x, asked.predictor)
    fit, tau2, exact = line(Design(asked.y, asked.v, x), how)
    if how.test == "hk" and exact:
        raise DataError(
            f"The {asked.outcome} lie exactly on a line in {asked.predictor}: there is no variation to test with."
        )
    fields = coefficient_fields(fit.beta, covariance(fit, how.test), of.spec.level)
    slope = {name: float(fields[name][-1]) for name in ("se", "statistic", "df", "pvalue")}
    if not slope["df"] > 0.5:
        raise OptionError("Kenward-Roger leaves too few degrees of freedom for a test: use another test.")
    values = {"slope": float(fit.beta[-1]), "slope_se": slope["se"]}
    if asked.limit and not of.moderated:
        ends = np.array([fit.beta[0], fields["ci_low"][0], fields["ci_high"][0]])
        values |= dict(zip(LIMITS, map(float, ends if asked.turn is None else asked.turn(ends)), strict=True))
    if how.method != "CE":
        values["tau2"] = tau2
    return TestResult(
        test=asked.test, null=f"no association of the {asked.outcome} with {asked.predictor}",
        symbol="z" if math.isinf(slope["df"]) else "t", statistic=slope["statistic"], df=slope["df"],
        pvalue=slope["pvalue"], k=k, measure=of.eff.measure,
        model=_words(of, asked, how), values=values,
        notes=(*notes, *_governed(of, asked, how, fit), *_that_apply(of, asked)),
    )  # fmt: skip


def _governed(of: Studied, asked: Asked, how: How, fit: Fit) -> tuple[Note, ...]:
    """Whether the dispersion understates the variance of the slope where effects differ by more than chance.

    With errors of one and the same variance the slope has a variance in proportion to sum w q^2, q the column of the
    slope in the orthonormal basis, and the mean square expects that of sum w (1 - h)/(k - p), h the leverages.
    """
    if how != DISPERSION:
        return ()
    share, left = fit.w * fit.q[:, -1] ** 2, (fit.w * (1 - (fit.q**2).sum(axis=1))).sum()
    k, p = fit.q.shape
    factor = float(share.sum() / left * (k - p))
    if not factor > _TOO_SMALL:
        return ()
    largest = of.eff.study[int(share.argmax())]
    text = f"Study {largest!r} governs this regression: if true effects differ, its standard error is up to"
    after = "times too small, with many false alarms. Compare"
    return (Note(UNEVEN, f"{text} {math.sqrt(factor):.1f} {after} {asked.other}.", (largest,)),)


def _that_apply(of: Studied, asked: Asked) -> tuple[Note, ...]:
    """Notes of the studies; no correction of effects that the test does not use."""
    return tuple(note for note in of.notes if note.code != "zero-cell" or asked.y is of.eff.yi)


def check_varies(of: Studied, x: FloatArray, predictor: str) -> None:
    """Refuse a predictor that the constant and the moderators already give."""
    basis = np.linalg.qr(of.others)[0]
    rest = x - basis @ (basis.T @ x)
    if math.sqrt(float(rest @ rest)) <= _SAME * math.sqrt(float(x @ x)):
        beside = ", or a combination of the moderators" if of.moderated else ""
        raise DataError(f"No test is possible: {predictor} is the same in every study{beside}.")


def _words(of: Studied, asked: Asked, how: How) -> str:
    limit = f". Limit: {asked.scale or KINDS[of.eff.measure].label}" if asked.limit and not of.moderated else ""
    return _regression_words(of, asked, how) + limit


def _regression_words(of: Studied, asked: Asked, how: How) -> str:
    beside = f" and the moderators {of.spec.formula}" if of.moderated else ""
    what = f"of the {asked.outcome} on {asked.predictor}{beside}"
    if how == DISPERSION:
        return f"Weighted regression {what}, multiplicative dispersion"
    kind = "Common-effect" if how.method == "CE" else "Mixed-effects"
    tau2 = "" if how.method == "CE" else f"tau2: {how.method}, "
    return f"{kind} regression {what}; {tau2}{reference(how.test, moderators=True)}"
