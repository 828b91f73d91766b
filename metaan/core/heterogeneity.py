"""Cochran's Q and what is derived from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from metaan.core.wls import Data, FloatArray, dot, weighted_mean

__all__ = ["Cochran", "cochran", "i2_h2", "q_pvalue"]


class Cochran(NamedTuple):
    """Test of homogeneity and the variance that I2 compares tau2 with: arrays of shape (...)."""

    Q: FloatArray
    pvalue: FloatArray
    typical: FloatArray
    """Typical sampling variance."""


def cochran(data: Data) -> Cochran:
    """Cochran 1954: Q = sum w (y - mu)^2 with w = 1/v, against chi2(k - 1); p = 1 for one study.

    Typical variance: (k - 1) sum w / [(sum w)^2 - sum w^2] (Higgins & Thompson 2002, eq. 9); v itself for one study.
    """
    w = 1 / data.v
    mean, total = weighted_mean(data.y, w)
    r = data.y - mean
    q = dot(w * r, r)
    one = data.k <= 1
    # (sum w)^2 - sum w^2 over sum w, without cancellation where one weight dominates
    spread = dot(w, 1 - w / total * (1 - one))
    typical = np.maximum(data.k - 1, 1.0) / spread
    return Cochran(q, q_pvalue(q, data.k), typical)


def q_pvalue(q: FloatArray, k: FloatArray) -> FloatArray:
    """Upper tail of chi2(k - 1), 1 for one study."""
    return np.where(k <= 1, 1.0, chdtrc(np.maximum(k - 1, 1.0), q))


def i2_h2(tau2: FloatArray | float, typical: FloatArray) -> tuple[FloatArray, FloatArray]:
    """I2 in per cent and H2 from tau2 and the typical sampling variance (metafor's definition)."""
    total = tau2 + typical
    return 100 * tau2 / total, total / typical
