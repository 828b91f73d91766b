"""Cochran's Q and what is derived from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from metaan.core.wls import Data, FloatArray, dot, q_statistic

__all__ = ["Q", "i2_h2", "q_test", "typical_variance"]


class Q(NamedTuple):
    """Test of homogeneity: arrays of shape (n,)."""

    Q: FloatArray
    df: FloatArray
    pvalue: FloatArray


def q_test(data: Data) -> Q:
    """Cochran 1954: Q = sum w (y - mu)^2 with w = 1/v, against chi2(k - 1); p = 1 for one study."""
    q, _ = q_statistic(data.y, data.v, np.zeros_like(data.k))
    df = data.k - 1
    return Q(q, df, np.where(df > 0, chdtrc(np.maximum(df, 1), q), 1.0))


def typical_variance(data: Data) -> FloatArray:
    """Higgins & Thompson 2002, eq. 9: (k - 1) sum w / [(sum w)^2 - sum w^2] with w = 1/v; v itself for one study."""
    w = 1 / data.v
    total = w.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        typical = (data.k - 1) / (total - dot(w, w) / total)
    return np.where(data.k > 1, typical, 1 / total)


def i2_h2(tau2: FloatArray, typical: FloatArray) -> tuple[FloatArray, FloatArray]:
    """I2 in per cent and H2 from tau2 and the typical sampling variance (metafor's definition)."""
    total = tau2 + typical
    return 100 * tau2 / total, total / typical


