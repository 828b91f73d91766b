"""Inference on the coefficients of the linear model: covariance, degrees of freedom, joint tests."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, fdtrc

from metaan.core.clusters import Clusters, hotelling_df
from metaan.core.linear import Fit

__all__ = ["Covariance", "JointTest", "covariance", "joint_test", "kenward_roger"]

FloatArray = npt.NDArray[np.float64]
_NOTHING: Final = 1e-13


class Covariance(NamedTuple):
    """Covariance of the coefficients and what their reference distribution needs.

    All in the basis in which the (weighted) design is orthonormal, x = q r: with columns as unequal as 1, a year and
    its square the covariance of the coefficients themselves has too few digits left to compute with.
    """

    inner: FloatArray
    """Covariance of r beta, (p, p)."""
    r: FloatArray
    """Triangular factor of the design, (p, p)."""
    df: float
    """Degrees of freedom of every contrast (inf: normal); NaN where each contrast has its own (Kenward-Roger)."""
    information: float = np.nan
    """Expected information on tau2; NaN unless Kenward-Roger."""
    squared: FloatArray | None = None
    """q'W q of Kenward-Roger."""
    each: FloatArray | None = None
    """Degrees of freedom of each coefficient, where they differ: a contrast has the smallest of those it uses."""
    clusters: Clusters | None = None
    """Clusters of a CR2 covariance, whose degrees of freedom depend on the contrast."""
    robust: bool = False
    """Whether the covariance is cluster-robust."""

    @property
    def cov(self) -> FloatArray:
        """Covariance of the coefficients, (p, p); NaN where the data do not tell it."""
        back = np.linalg.inv(self.r)
        cov = back @ self.inner @ back.T
        unknown = np.isnan(self.spread(np.eye(len(cov))))
        cov[unknown] = cov[:, unknown] = np.nan
        return np.asarray((cov + cov.T) / 2)

    def turned(self, contrasts: FloatArray) -> FloatArray:
        """Contrasts of the coefficients, (..., p), as contrasts of r beta."""
        return np.asarray(np.linalg.solve(self.r.T, contrasts.T).T)

    def spread(self, contrasts: FloatArray) -> FloatArray:
        """Variance of each of the contrasts, shape (m, p) to (m,); NaN where a single cluster tells of one."""
        c = self.turned(contrasts)
        variance = np.einsum("mp,pq,mq->m", c, self.inner, c)
        if self.robust:  # what is left are rounding errors of the model's own variance
            variance = np.where(variance > _NOTHING * (c**2).sum(axis=1), variance, np.nan)
        return np.asarray(variance)

    def contrast_df(self, contrast: FloatArray) -> float:
        """Degrees of freedom of one linear combination of the coefficients, shape (p,)."""
        if self.clusters is not None:
            return hotelling_df(self.clusters, self.turned(contrast[None]))
        if self.each is not None:
            return float(self.each[contrast != 0].min(initial=np.inf))
        if self.squared is None:
            return self.df
        c = self.turned(contrast) @ self.inner
        return float(2 * self.information * (c @ self.turned(contrast) / (c @ self.squared @ c)) ** 2)


class JointTest(NamedTuple):
    """Wald test that several linear combinations are all 0: F with (df, df2) degrees, chi2 for df2 = inf."""

    statistic: float
    df: int
    df2: float
    pvalue: float


def covariance(fit: Fit, test: str) -> Covariance:
    """Covariance at tau2 under the kind of inference `test`; `fit` is of one data set.

    Hartung-Knapp multiplies (x'W x)^-1 by Q/(k - p) (Knapp & Hartung 2003). Kenward & Roger 1997 for one variance
    parameter: Phi + 2 Phi (X'W^3 X - X'W^2 X Phi X'W^2 X) Phi/I with I the expected information of REML. A single
    contrast has the adjusted covariance in its degrees of freedom too, as in `metaan.pool`; joint tests are those of
    the paper.
    """
    p, df = fit.q.shape[-1], float(fit.q.shape[-2] - fit.q.shape[-1])
    if test == "kr":
        of = kenward_roger(fit)
        return Covariance(of.cov, fit.r, np.nan, float(of.information), of.squared)
    scale = float(fit.Q) / df
    factor = {"z": 1.0, "t": 1.0, "hk": scale, "hk-adhoc": max(scale, 1.0)}[test]
    return Covariance(np.eye(p) * factor, fit.r, np.inf if test == "z" else df)


class KenwardRoger(NamedTuple):
    """Adjusted covariance of r beta, expected information and q'W q: (..., p, p), (...) and (..., p, p)."""

    cov: FloatArray
    information: FloatArray
    squared: FloatArray


def kenward_roger(fit: Fit) -> KenwardRoger:
    """Of one data set or of many, in the basis of the weighted design, in which Phi is the identity."""
    turned, w = np.swapaxes(fit.q, -1, -2), fit.w[..., None]
    squared, cubed = (turned @ (w**power * fit.q) for power in (1, 2))
    both = squared @ squared
    traces = [np.trace(part, axis1=-2, axis2=-1) for part in (cubed, both)]
    information = ((fit.w**2).sum(axis=-1) - 2 * traces[0] + traces[1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        adjusted = np.eye(fit.q.shape[-1]) + 2 * (cubed - both) / information[..., None, None]
    return KenwardRoger((adjusted + np.swapaxes(adjusted, -1, -2)) / 2, information, squared)


def joint_test(beta: FloatArray, of: Covariance, contrasts: FloatArray) -> JointTest:
    """Test contrasts @ beta = 0, contrasts of shape (m, p) and full rank; NaN where there is no test.

    For Kenward-Roger the statistic is scaled and the second degrees of freedom are those of their paper of 1997, with
    no test where these are 2 or less.
    """
    m = contrasts.shape[0]
    nothing = JointTest(np.nan, m, np.nan if np.isnan(of.df) else of.df, np.nan)
    if not (of.spread(contrasts) > 0).all():
        return nothing
    basis = np.linalg.qr(of.turned(contrasts).T)[0]  # the same hypothesis, well conditioned
    value, cov = basis.T @ (of.r @ beta), basis.T @ of.inner @ basis
    wald = float(value @ np.linalg.solve(cov, value))
    if of.clusters is not None:
        eta = hotelling_df(of.clusters, basis.T)
        df2 = eta - m + 1
        if df2 <= 0:
            return JointTest(np.nan, m, df2, np.nan)
        f = df2 / (eta * m) * wald
        return JointTest(f, m, df2, float(fdtrc(m, df2, f)))
    if of.each is not None:
        df2 = of.contrast_df(np.abs(contrasts).sum(axis=0))
        return JointTest(wald / m, m, df2, float(fdtrc(m, df2, wald / m)))
    if np.isinf(of.df):
        return JointTest(wald, m, np.inf, float(chdtrc(m, wald)))
    if of.squared is None:
        return JointTest(wald / m, m, of.df, float(fdtrc(m, of.df, wald / m)))
    scale, df2 = (1.0, of.contrast_df(contrasts[0])) if m == 1 else _kenward_roger_df(of.information, of.squared, basis)
    if not (scale > 0 and df2 > (0 if m == 1 else 2)):
        return nothing
    f = scale * wald / m
    return JointTest(f, m, df2, float(fdtrc(m, df2, f)))


def _kenward_roger_df(information: float, squared: FloatArray, basis: FloatArray) -> tuple[float, float]:
    """Scale and second degrees of freedom of a joint test: Theta is the projection on the basis, Phi the identity."""
    m = basis.shape[1]
    through = basis.T @ squared @ basis
    a1 = np.trace(through) ** 2 / information
    a2 = np.trace(through @ through) / information
    b = (a1 + 6 * a2) / (2 * m)
    g = ((m + 1) * a1 - (m + 4) * a2) / ((m + 2) * a2)
    c1, c2, c3 = (c / (3 * m + 2 * (1 - g)) for c in (g, m - g, m + 2 - g))
    expected = 1 / (1 - a2 / m)
    variance = 2 / m * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * expected**2)
    df2 = 4 + (m + 2) / (m * rho - 1)
    return float(df2 / (expected * (df2 - 2))), float(df2)
