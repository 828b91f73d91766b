"""The beta-binomial model with moderators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import betaincinv, expit, logit

from metaan.core.beta_binomial_fit import BetaBinomialFit, maximise, problem_of
from metaan.core.beta_binomial_profile import beta_limits, rho_limits
from metaan.core.coefficients import Covariance, JointTest, joint_test
from metaan.core.inference import quantile
from metaan.errors import InputError, Note, listed
from metaan.measures.record import Effects
from metaan.models.beta_binomial_fields import likelihood_fields, rho_notes
from metaan.models.beta_binomial_text import describe_regression
from metaan.models.cautions import data_notes, repeated
from metaan.models.design import Moderators, moderators, new_rows
from metaan.models.plain import spec_and_fields
from metaan.models.regress_result import SCALE
from metaan.models.results import Convergence, Spec
from metaan.models.text import plural
from metaan.models.wald import coefficient_fields, moderator_fields
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BetaBinomialRegression", "fit_moderators"]

_INFINITE: Final = 1e10  # variance of a combination of log odds about which the likelihood holds no information
_PART: Final = 1e-6  # of such a combination in another that is then infinite too


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BetaBinomialRegression(Frozen):
    """Result of `metaan.beta_binomial` with a formula: the logit of the mean rate on moderators.

    Parameters
    ----------
    estimate, se, ci_low, ci_high, statistic, pvalue, log_pvalue, df : array of shape (p,)
        Coefficients; infinite ones, of which the likelihood has no maximum, with se = inf and a note.
    names : tuple of str
        Columns of the design.
    cov : array of shape (p, p)
        Covariance of the coefficients, from the observed information.
    QM, QM_df, QM_df2, QM_pvalue : float
        Wald test of the moderators: chi2 (QM_df2 = inf) or F; NaN where a coefficient is infinite.
    k : int
        Studies.
    rho, rho_low, rho_high : float
        Correlation of two observations of one study, with its profile-likelihood interval.
    loglik, aic, aicc, bic : float
        With all binomial constants and p + 1 parameters; the k studies are the observations.
    loglik_common, lrt, lrt_pvalue : float
        Of the model with rho = 0, and the test of it (boundary mixture).
    fitted, blup, weights : array of shape (k,)
        Logit of the expected rate (a large number where it is infinite) and of the posterior mean; weights in per
        cent, proportional to n/(1 + (n - 1) rho).
    moderators : Moderators
    inference : Covariance
    convergence : Convergence
    spec : Spec
    effects : Effects
    notes : tuple of Note
    """

    estimate: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    statistic: FloatArray
    pvalue: FloatArray
    log_pvalue: FloatArray
    df: FloatArray
    names: tuple[str, ...]
    cov: FloatArray
    QM: float
    QM_df: int
    QM_df2: float
    QM_pvalue: float
    k: int
    rho: float
    rho_low: float
    rho_high: float
    loglik: float
    aic: float
    aicc: float
    bic: float
    loglik_common: float
    lrt: float
    lrt_pvalue: float
    fitted: FloatArray
    blup: FloatArray
    weights: FloatArray
    moderators: Moderators
    inference: Covariance
    convergence: Convergence
    spec: Spec
    effects: Effects
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()
        self.inference.inner.setflags(write=False)

    def predict(self, new: Any = None, *, scale: str = "analysis") -> pd.DataFrame:
        """Mean rate for new values of the moderators, with confidence limits and the limits of a new study's rate.

        Parameters
        ----------
        new : pandas.DataFrame, mapping or list of mappings, optional
            Rows with the columns of the formula; the studies themselves by default.
        scale : {"analysis", "display"}
            Logits, or rates without a standard error.

        Returns
        -------
        pandas.DataFrame
            Columns estimate, se, ci_low, ci_high (Wald), pi_low, pi_high (quantiles of the fitted beta distribution;
            NaN where rho is 0 or 1 or ``pi="none"``); the index of `new`.

        Raises
        ------
        InputError
            A column is missing, or a category was not among the studies.
        OptionError
            Unknown scale.
        """
        import pandas as pd

        SCALE.check(scale)
        x = self.moderators.matrix if new is None else new_rows(self.moderators, new, self.spec.formula or "")
        value, se = self._linear(x)
        half = float(quantile(float(self.df[0]), self.spec.level)) * se
        low, high = self._prediction(value)
        with np.errstate(invalid="ignore"):
            columns = {
                "estimate": value, "se": se, "ci_low": value - half, "ci_high": value + half,
                "pi_low": low, "pi_high": high,
            }  # fmt: skip
        open_ = np.isinf(se)
        columns["ci_low"][open_], columns["ci_high"][open_] = -np.inf, np.inf
        if scale == "display":
            columns = {name: expit(values) for name, values in columns.items()} | {"se": np.full(len(value), np.nan)}
        index = new.index if isinstance(new, pd.DataFrame) else list(self.effects.study) if new is None else None
        return pd.DataFrame(columns, index=index)

    def _linear(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log odds of rows of the design and their standard errors; infinite where a coefficient that is enters."""
        se = np.sqrt(self.inference.spread(x))
        finite = np.linalg.lstsq(self.moderators.matrix, self.fitted)[0]  # where the search for infinite ones ended
        value, lost = x @ finite, _infinite(self.inference, self.k, x)
        return np.where(lost, np.copysign(np.inf, value), value), np.where(lost, np.inf, se)

    def _prediction(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        nothing = np.full_like(eta, np.nan)
        if self.spec.pi == "none" or not 0 < self.rho < 1:
            return nothing, nothing
        size, tail = (1 - self.rho) / self.rho, (1 - self.spec.level) / 2
        finite = np.isfinite(eta)
        a, b = (np.where(finite, expit(sign * eta), 0.5) * size for sign in (1, -1))
        low, high = logit(betaincinv(a, b, tail)), -logit(betaincinv(b, a, tail))
        return np.where(finite, low, np.nan), np.where(finite, high, np.nan)

    def test(self, *what: str) -> JointTest:
        """Joint Wald test that coefficients are 0.

        Parameters
        ----------
        *what : str
            Names of coefficients, or of terms of the formula such as ``"C(therapy)"``.

        Returns
        -------
        JointTest
            statistic, df, df2, pvalue: F, or chi2 where df2 is inf; NaN where a coefficient is infinite.

        Raises
        ------
        InputError
            An unknown name, or none.
        """
        chosen: set[int] = set()
        for name in map(str, what):
            if name not in self.names and name not in self.moderators.terms:
                raise InputError(f"{name!r} is not a coefficient or term. Coefficients: {', '.join(self.names)}.")
            chosen |= {self.names.index(name)} if name in self.names else set(self.moderators.terms[name])
        if not chosen:
            raise InputError("Name at least one coefficient or term to test.")
        rows = sorted(chosen)
        if not np.isfinite(self.estimate[rows]).all():
            return JointTest(math.nan, len(rows), self.inference.df, math.nan)
        return joint_test(self.estimate, self.inference, np.eye(len(self.names))[rows])

    def to_frame(self) -> pd.DataFrame:
        """One row for each coefficient."""
        import pandas as pd

        names = ("estimate", "se", "ci_low", "ci_high", "statistic", "df", "pvalue", "log_pvalue")
        return pd.DataFrame({"term": list(self.names)} | {name: getattr(self, name) for name in names})

    def studies(self) -> pd.DataFrame:
        """One row for each study: label, counts, yi, vi (empirical logit), weight (%), fitted, BLUP."""
        import pandas as pd

        return pd.DataFrame(
            self.effects.to_frame().to_dict("list")
            | {"weight": self.weights, "fitted": self.fitted, "blup": self.blup}
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        return spec_and_fields(self) | {
            "names": list(self.names), "study": list(self.effects.study), "converged": self.convergence.converged,
            "notes": [str(note) for note in self.notes],
        }  # fmt: skip

    def __str__(self) -> str:
        return describe_regression(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.k} studies on {self.spec.formula!r}>"


def fit_moderators(eff: Effects, spec: Spec, missing: str) -> BetaBinomialRegression:
    """Fit the model with the formula of `spec` to the counts behind `eff`."""
    eff, design = moderators(eff, spec.formula or "", missing)
    assert eff.events is not None
    assert eff.total is not None
    x, n = eff.events[:, None], eff.total[:, None]
    q, r = np.linalg.qr(design.matrix)
    root = math.sqrt(eff.k)
    found = maximise(problem_of(x, n, q * root))  # orthonormal columns keep the digits of the covariance
    p = len(design.names)
    df = math.inf if spec.test == "z" else float(eff.k - p)
    of = Covariance(eff.k * found.cov[0, :p, :p], r, df)
    beta = np.linalg.solve(r, root * found.beta[:, 0])
    fields = coefficient_fields(beta, of, spec.level)
    lost = _infinite(of, eff.k, np.eye(p))
    notes = _notes(eff, design, found, lost)
    rho = float(found.rho[0])
    if spec.ci == "profile":
        fields["ci_low"], fields["ci_high"] = _profile(x, n, design.matrix, spec.level)
    estimate = _open(beta, lost, fields, profile=spec.ci == "profile")
    joint = moderator_fields(beta, of, design.intercept)
    rho_low, rho_high = (float(end[0]) for end in rho_limits(problem_of(x, n, q * root), found, spec.level))
    fitted = design.matrix @ beta
    weight = eff.total / (1 + (eff.total - 1) * rho)
    size = (1 - rho) / rho if rho > 0 else math.inf
    with np.errstate(divide="ignore"):
        hit, miss = expit(fitted) * size + eff.events, expit(-fitted) * size + eff.total - eff.events
        blup = fitted if rho == 0 else np.log(hit) - np.log(miss)
    return BetaBinomialRegression(
        estimate=estimate, **fields, names=design.names, cov=of.cov,
        **(joint | ({"QM": math.nan, "QM_pvalue": math.nan} if lost.any() else {})),
        k=eff.k, rho=rho, rho_low=rho_low, rho_high=rho_high, **likelihood_fields(found, eff.k, p + 1),
        fitted=fitted, blup=blup, weights=100 * weight / weight.sum(), moderators=design, inference=of,
        convergence=Convergence(
            converged=bool(found.converged[0]), iterations=int(found.iterations[0]), maxima=int(found.maxima[0])
        ),
        spec=spec, effects=eff, notes=notes,
    )  # fmt: skip


def _profile(x: FloatArray, n: FloatArray, matrix: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    problem = problem_of(x, n, matrix)
    found = maximise(problem)
    limits = [beta_limits(problem, found, level, coefficient=j) for j in range(matrix.shape[1])]
    return np.array([low[0] for low, _ in limits]), np.array([high[0] for _, high in limits])


def _infinite(of: Covariance, k: int, rows: FloatArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which linear combinations of the coefficients, (m, p), have no finite estimate.

    In the basis in which the design is orthonormal that does not depend on the units of the moderators.
    """
    values, vectors = np.linalg.eigh(of.inner / k)
    turned = of.turned(rows)
    through = turned @ vectors[:, values > _INFINITE]
    return np.asarray((through**2).sum(axis=1) > _PART**2 * (turned**2).sum(axis=1))


def _open(
    beta: FloatArray, lost: np.ndarray[Any, np.dtype[np.bool_]], fields: dict[str, Any], *, profile: bool
) -> FloatArray:
    """Estimates with the infinite ones as such, and in `fields` what goes with them."""
    fields["se"] = np.where(lost, np.inf, fields["se"])
    for name in ("statistic", "pvalue", "log_pvalue"):
        fields[name] = np.where(lost, np.nan, fields[name])
    for name, end in (("ci_low", -np.inf), ("ci_high", np.inf)):
        fields[name] = np.where(lost & ((np.sign(beta) == np.sign(end)) | (not profile)), end, fields[name])
    return np.where(lost, np.copysign(np.inf, beta), beta)


def _notes(eff: Effects, design: Moderators, found: BetaBinomialFit, lost: Any) -> tuple[Note, ...]:
    notes = [*eff.notes, *data_notes(eff.data), *repeated(eff), *rho_notes(eff.k, found, "a binomial regression")]
    names = [name for name, gone in zip(design.names, lost, strict=True) if gone]
    if names:
        text = "Some studies have no events, or nothing but events, for their moderators: no finite estimate of"
        notes.append(Note("separated", f"{text} {listed(names)}."))
    own = len(design.names) - (design.intercept is not None)
    if own and eff.k < 10 * own:
        many = plural(own, "coefficient") + (" besides the intercept" if design.intercept is not None else "")
        few = f"fewer than ten{' each' if own > 1 else ''}, so that chance findings are likely."
        notes.append(Note("few-studies", f"{eff.k} studies for {many}: {few}"))
    return tuple(notes)
