"""Confidence interval of a single incidence rate."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv

from metaan.validate import FloatArray

__all__ = ["exact_incidence"]


def exact_incidence(events: FloatArray, time: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Exact limits of events over time: Poisson means whose tails beyond the observed count are (1 - level)/2 each.

    The limits are quantiles of gamma distributions, of shape x below (0 where there are no events) and x + 1 above.

    References
    ----------
    Garwood F (1936). Biometrika 28:437-442. doi:10.1093/biomet/28.3-4.437

    Examples
    --------
    >>> import numpy as np
    >>> low, high = exact_incidence(np.array([0.0, 4.0]), np.array([10.0, 20.0]), 0.95)
    >>> low.round(4), high.round(4)
    (array([0.    , 0.0545]), array([0.3689, 0.5121]))
    """
    tail = (1 - level) / 2
    low = np.where(events > 0, gammaincinv(np.maximum(events, 1.0), tail), 0.0)
    return low / time, gammaincinv(events + 1, 1 - tail) / time
