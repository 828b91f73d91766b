"""Inference on the coefficients of the linear model: covariance, degrees of freedom, joint tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, fdtrc

from metaan.core.clusters import Clusters, hotelling_df
from metaan.core.linear import Fit

__all__ = ["Covariance", "JointTest", "covariance", "joint_test"]

FloatArray = npt.NDArray[np.float64]


class Covariance(NamedTuple):
    """Covariance of the coefficients and what their reference distribution needs."""

    cov: FloatArray
    df: float
    """Degrees of freedom of every contrast (inf: normal); NaN where each contrast has its own (Kenward-Roger)."""
    information: float
    """Expected information on tau2; NaN unless Kenward-Roger."""
    squared: FloatArray
    """x'W W x of Kenward-Roger; empty otherwise."""
    each: FloatArray | None = None
    """Degrees of freedom of each coefficient, where they differ: a contrast has the smallest of those it uses."""
    clusters: Clusters | None = None
    """Whitened design of a CR2 covariance, whose degrees of freedom depend on the contrast."""

    def contrast_df(self, contrast: FloatArray) -> float:
        """Degrees of freedom of one linear combination of the coefficients, shape (p,)."""
        if self.clusters is not None:
            return hotelling_df(self.clusters, contrast[None])
        if self.each is not None:
            return float(self.each[contrast != 0].min(initial=np.inf))
        if not np.isnan(self.df):
            return self.df
        spread = contrast @ self.cov @ contrast
        through = contrast @ self.cov @ self.squared @ self.cov @ contrast
        return float(2 * self.information * (spread / through) ** 2)


class JointTest(NamedTuple):
    """Wald test that several linear combinations are all 0: F with (df, df2) degrees, chi2 for df2 = inf."""

    statistic: float
    df: int
    df2: float
    pvalue: float


def covariance(fit: Fit, test: str) -> Covariance:
    """Covariance at tau2 under the kind of inference `test`; `fit` is of one data set.

    Hartung-Knapp multiplies (x'W x)^-1 by Q/(k - p) (Knapp & Hartung 2003). Kenward & Roger 1997 for one variance
    parameter: Phi + 2 Phi (X'W^3 X - X'W^2 X Phi X'W^2 X) Phi/I with I the expected information of REML; as in
    `metaan.pool` the adjusted covariance also stands in the degrees of freedom.
    """
    phi, df = fit.cov, float(fit.q.shape[-2] - fit.q.shape[-1])
    nothing = np.empty((0, 0))
    if test == "z":
        return Covariance(phi, np.inf, np.nan, nothing)
    if test == "kr":
        return _kenward_roger(fit, phi)
    scale = float(fit.Q) / df
    factor = {"t": 1.0, "hk": scale, "hk-adhoc": max(scale, 1.0)}[test]
    return Covariance(phi * factor, df, np.nan, nothing)


def _kenward_roger(fit: Fit, phi: FloatArray) -> Covariance:
    x = (fit.q @ fit.r) / np.sqrt(fit.w)[:, None]
    squared, cubed = (x.T @ (fit.w[:, None] ** power * x) for power in (2, 3))
    inner = phi @ squared
    information = float((fit.w**2).sum() - 2 * np.trace(phi @ cubed) + np.trace(inner @ inner)) / 2
    adjusted = phi + 2 * phi @ (cubed - squared @ phi @ squared) @ phi / information
    return Covariance((adjusted + adjusted.T) / 2, np.nan, information, squared)


def joint_test(beta: FloatArray, of: Covariance, contrasts: FloatArray) -> JointTest:
    """Test contrasts @ beta = 0, contrasts of shape (m, p) and full rank.

    For Kenward-Roger the statistic is scaled and the second degrees of freedom are those of their paper of 1997.
    """
    m = contrasts.shape[0]
    value, cov = contrasts @ beta, contrasts @ of.cov @ contrasts.T
    if not (np.isfinite(cov).all() and (np.diagonal(cov) > 0).all()):
        return JointTest(np.nan, m, np.nan if np.isnan(of.df) else of.df, np.nan)
    wald = float(value @ np.linalg.solve(cov, value))
    if of.clusters is not None:
        eta = hotelling_df(of.clusters, contrasts)
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
    if not np.isnan(of.df):
        return JointTest(wald / m, m, of.df, float(fdtrc(m, of.df, wald / m)))
    scale, df2 = _kenward_roger_df(of, contrasts, cov)
    f = scale * wald / m
    return JointTest(f, m, df2, float(fdtrc(m, df2, f)))


def _kenward_roger_df(of: Covariance, contrasts: FloatArray, cov: FloatArray) -> tuple[float, float]:
    m = contrasts.shape[0]
    if m == 1:
        return 1.0, of.contrast_df(contrasts[0])
    through = np.linalg.solve(cov, contrasts @ of.cov @ of.squared @ of.cov @ contrasts.T)
    a1 = np.trace(through) ** 2 / of.information
    a2 = np.trace(through @ through) / of.information
    b = (a1 + 6 * a2) / (2 * m)
    g = ((m + 1) * a1 - (m + 4) * a2) / ((m + 2) * a2)
    c1, c2, c3 = (c / (3 * m + 2 * (1 - g)) for c in (g, m - g, m + 2 - g))
    expected = 1 / (1 - a2 / m)
    variance = 2 / m * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * expected**2)
    df2 = 4 + (m + 2) / (m * rho - 1)
    return float(df2 / (expected * (df2 - 2))), float(df2)
