"""Moderators in `metaan.glmm`: fit, inference and notes."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from scipy.special import chdtrc, ndtr

from metaan.core.binomial import moments, trapezoid
from metaan.core.coefficients import Covariance
from metaan.core.linear import Design, at, trace
from metaan.core.mixed import Mixed, Model, information, profile_limits
from metaan.core.mixed_fixed import fixed_nodes
from metaan.core.mixed_regression import Regression, fit_regression
from metaan.core.two_arms import Arms, Shrunken
from metaan.errors import ConvergenceError, Note
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.design import Moderators
from metaan.models.glmm_counts import likelihood
from metaan.models.glmm_regress_result import GlmmRegressResult
from metaan.models.glmm_result import own_variance, search_notes
from metaan.models.regress import few_studies
from metaan.models.results import Convergence, Spec
from metaan.models.unconditional import fit_arms, loglik_without_tau, model_of
from metaan.models.wald import coefficient_fields, moderator_fields
from metaan.validate import FloatArray

__all__ = ["glmm_regression"]

_FARTHEST: Final = 30.0
_WIDEST: Final = 50.0  # tau beyond which the likelihood rises without end


class _Solved:
    """A fitted model: exact maximum, the maximum asked for, and where its coefficients stand among the parameters."""

    def __init__(self, spec: Spec, eff: Effects, x: FloatArray) -> None:
        self.q, self.r = (part * factor for part, factor in zip(np.linalg.qr(x), _scale(len(x)), strict=True))
        of = likelihood(spec, eff)
        self.first = 0
        self.model: Any
        if isinstance(of, Arms):
            self.model = model_of(of, self.q, spec)
            self.exact, self.found = fit_arms(self.model, spec)
            self.first = eff.k if spec.likelihood == "UM.FS" else 1
        else:
            self.model = Regression(of, self.q)
            self.exact = fit_regression(of, self.q)
            self.found = self.exact if spec.nodes is None else fixed_nodes(self.model, self.exact, spec.nodes)
            _check(self.model, self.found, spec)
        self.place = slice(self.first, self.first + x.shape[1])
        self.cov = information(self.model, self.found)

    @property
    def beta(self) -> FloatArray:
        """Coefficients of the columns as given."""
        return np.asarray(np.linalg.solve(self.r, self.found.theta[self.place]))

    @property
    def tau(self) -> float:
        return float(self.found.theta[-1])

    def limits(self, level: float, *, of_tau: bool = False) -> tuple[FloatArray, FloatArray]:
        """Profile-likelihood limits of the coefficients, or of tau."""
        n = len(self.found.theta)
        if of_tau:
            rows = np.eye(n)[-1:]
            se = np.sqrt(self.cov[-1:, -1])
            return profile_limits(self.model, self.exact, rows, np.where(np.isfinite(se), se, 0.3), level)
        rows = np.zeros((len(self.r), n))
        rows[:, self.place] = np.linalg.inv(self.r)
        se = np.sqrt(np.einsum("ma,ab,mb->m", rows[:, self.place], self.inner, rows[:, self.place]))
        return profile_limits(self.model, self.exact, rows, se, level)

    @property
    def inner(self) -> FloatArray:
        """Covariance of the coefficients in the orthonormal basis."""
        return self.cov[self.place, self.place]

    def effects(self) -> Shrunken:
        """Shrunken effects of the studies."""
        theta = self.found.theta
        if not isinstance(self.model, Regression):
            return self.model.effects(theta)  # type: ignore[no-any-return]
        b, mean, tau = self.model.b, (self.q @ theta[:-1])[:, None], theta[-1:]
        of = moments(b, mean, tau, trapezoid(b, mean, tau, 257))
        return Shrunken(of.mean[:, 0], of.sd[:, 0], own_variance(b, of.mean), 0.0)


def _scale(k: int) -> tuple[float, float]:
    """The orthonormal design times the root of k, so that its columns have elements near 1."""
    return math.sqrt(k), 1 / math.sqrt(k)


def _check(model: Model, found: Mixed, spec: Spec) -> None:
    beta = found.theta[:-1]
    if found.theta[-1] > _WIDEST or not found.converged or np.abs(beta).max() > _FARTHEST:
        what = "The moderators tell all events from non-events, or nearly, so that a coefficient has no finite estimate"
        raise ConvergenceError(f"{what}. Take terms out of formula={spec.formula!r}, or merge categories.")
    if not np.isfinite(np.diagonal(information(model, found))[:-1]).all():  # but tau's
        raise ConvergenceError(
            f"The likelihood is flat in a coefficient of formula={spec.formula!r}: no standard error."
        )


def glmm_regression(spec: Spec, eff: Effects, design: Moderators) -> GlmmRegressResult:
    """Fit the counts behind `eff` on the moderators."""
    of = _Solved(spec, eff, design.matrix)
    k, p = design.matrix.shape
    inference = Covariance(of.inner, of.r, math.inf if spec.test == "z" else float(k - p))
    beta, study = of.beta, of.effects()
    fields = coefficient_fields(beta, inference, spec.level)
    if spec.ci == "profile":
        fields["ci_low"], fields["ci_high"] = of.limits(spec.level)
    weight = 1 / (of.tau**2 + study.noise)
    return GlmmRegressResult(
        estimate=beta, **fields, names=design.names, cov=inference.cov,
        **moderator_fields(beta, inference, design.intercept),
        **_against_intercept(spec, eff, design, of), **_heterogeneity(eff, design, of), **_likelihood(of, k),
        k=k, fitted=design.matrix @ beta, blup=study.mean, blup_se=study.sd, weights=100 * weight / weight.sum(),
        leverage=_leverage(design.matrix, weight), moderators=design, inference=inference, spec=spec, effects=eff,
        sigma2=float(of.found.theta[-2]) ** 2 if spec.likelihood == "UM.RS" else math.nan,
        convergence=Convergence(
            converged=of.found.converged, iterations=of.found.iterations, maxima=of.found.maxima,
            nodes=spec.nodes or 32 * 2**of.exact.level + 1,
        ),
        notes=(*eff.notes, *data_notes(eff.data), *_notes(eff, spec, design, of)),
    )  # fmt: skip


def tau_limits_of(res: GlmmRegressResult) -> tuple[float, float]:
    """Profile-likelihood interval of the residual tau2."""
    low, high = _Solved(res.spec, res.effects, res.moderators.matrix).limits(res.spec.level, of_tau=True)
    return float(low[0]) ** 2, float(high[0]) ** 2


def _leverage(x: FloatArray, weight: FloatArray) -> FloatArray:
    q = np.linalg.qr(np.sqrt(weight)[:, None] * x)[0]
    return np.asarray((q**2).sum(axis=1))


def _heterogeneity(eff: Effects, design: Moderators, of: _Solved) -> dict[str, Any]:
    plain = at(Design(eff.yi, eff.vi, design.matrix), 0.0)
    df = eff.k - len(design.names)
    typical, tau2 = df / float(trace(plain)), of.tau**2
    return {
        "QE": float(plain.Q), "QE_df": df, "QE_pvalue": float(chdtrc(df, float(plain.Q))), "tau2": tau2, "tau": of.tau,
        "I2": 100 * tau2 / (tau2 + typical), "H2": (tau2 + typical) / typical,
    }  # fmt: skip


def _likelihood(of: _Solved, k: int) -> dict[str, Any]:
    parameters = len(of.found.theta)
    loglik = float(of.model.at(of.found.theta[None], of.exact.level + 1).loglik[0])
    common = loglik_without_tau(of.model, of.exact)
    lrt = max(0.0, 2 * (loglik - common)) if of.tau > 0 else 0.0
    return {
        "loglik": loglik, "loglik_common": common, "parameters": parameters,
        "aic": 2 * parameters - 2 * loglik, "bic": parameters * math.log(k) - 2 * loglik,
        "lrt": lrt, "lrt_pvalue": float(ndtr(-math.sqrt(lrt))) if lrt > 0 else 1.0,
    }  # fmt: skip


def _against_intercept(spec: Spec, eff: Effects, design: Moderators, of: _Solved) -> dict[str, Any]:
    """What the moderators explain: likelihood-ratio test and R2 against the intercept alone."""
    df = len(design.names) - 1
    if design.intercept is None or df == 0:
        return {"LRT": math.nan, "LRT_df": 0, "LRT_pvalue": math.nan, "R2": math.nan}
    alone = _Solved(spec, eff, np.ones((eff.k, 1)))
    lrt = max(0.0, 2 * (of.exact.loglik - alone.exact.loglik))
    share = 100 * max(0.0, 1 - of.tau**2 / alone.tau**2) if alone.tau > 0 else math.nan
    return {"LRT": lrt, "LRT_df": df, "LRT_pvalue": float(chdtrc(df, lrt)), "R2": share}


def _notes(eff: Effects, spec: Spec, design: Moderators, of: _Solved) -> list[Note]:
    notes = [*repeated(eff), *search_notes(of.found.maxima, converged=of.found.converged)]
    if of.tau == 0:
        notes.append(Note("tau2-zero", "Residual tau2 is estimated as 0: a common-effect model."))
    return [*notes, *few_studies(eff.k, design)]
