"""Random data sets, each from its own seed, so that a failure can be made again alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

FloatArray = npt.NDArray[np.float64]


def counts(seed: int) -> tuple[FloatArray, FloatArray]:
    """Events and totals: k 1-40, n 1-500, mean rate 0-1 with both ends, tau 0-3 (0 in one data set of five)."""
    rng = np.random.default_rng([1, seed])
    k = int(rng.integers(1, 41)) if rng.random() < 0.8 else int(rng.integers(1, 6))
    total = _totals(rng, k)
    rate = rng.choice([0.0, 1.0, rng.random(), rng.beta(0.3, 3), rng.beta(3, 0.3)], p=[0.02, 0.02, 0.56, 0.2, 0.2])
    tau = 0.0 if rng.random() < 0.2 else rng.uniform(0, 3)
    with np.errstate(divide="ignore"):
        p = expit(logit(rate) + tau * rng.standard_normal(k))
    return rng.binomial(total, p).astype(float), total.astype(float)


def _totals(rng: np.random.Generator, k: int) -> npt.NDArray[np.int64]:
    """Uniform, skewed, all equal, or very small."""
    kind = rng.choice(4, p=[0.35, 0.4, 0.1, 0.15])
    if kind == 0:
        return rng.integers(1, 501, k)
    if kind == 1:
        return np.ceil(np.exp(rng.uniform(0, np.log(500), k))).astype(np.int64)
    if kind == 2:
        return np.full(k, rng.integers(1, 501))
    return rng.integers(1, 6, k)


def hard_counts(seed: int) -> tuple[FloatArray, FloatArray]:
    """Counts on which fits fail: nearly separated, one event among very many, equal rates, one huge study."""
    rng = np.random.default_rng([5, seed])
    k = int(rng.integers(2, 41))
    largest = 10.0 ** rng.uniform(0.5, 6)
    total = np.ceil(largest ** rng.uniform(0, 1, k)) if rng.random() < 0.5 else np.full(k, np.ceil(largest))
    kind = rng.integers(4)
    if kind == 0:  # every study at 0 or n but one or two
        events = np.where(rng.random(k) < rng.random(), total, 0.0)
        inside = rng.integers(0, k, rng.integers(1, 3))
        events[inside] = np.floor(total[inside] * rng.random(inside.size))
    elif kind == 1:  # a few events, or a few non-events, in all
        events = np.zeros(k)
        events[rng.integers(0, k, rng.integers(1, 4))] = 1.0
        events = events if rng.random() < 0.5 else total - events
    elif kind == 2:  # equal rates
        total = total * 10
        events = np.round(total * rng.integers(1, 10) / 10)
    else:  # one study far larger than the rest
        total[0] = 1e6
        events = rng.binomial(total.astype(np.int64), expit(rng.normal(-2, rng.uniform(0, 3), k))).astype(float)
    return np.clip(events, 0.0, total), total


def effects(seed: int) -> tuple[FloatArray, FloatArray]:
    """Effects and variances: k 1-40, scale 1e-8 to 1e8, variances up to 8 decades apart, outliers, ties."""
    rng = np.random.default_rng([2, seed])
    k = int(rng.integers(1, 41)) if rng.random() < 0.6 else int(rng.integers(1, 8))
    scale = 10.0 ** rng.uniform(-8, 8)
    decades = rng.choice([0.0, 1.0, 4.0, 8.0], p=[0.1, 0.4, 0.3, 0.2])
    v = 10.0 ** rng.uniform(-decades / 2, decades / 2, k)
    tau = rng.choice([0.0, 0.1, 1.0, 10.0]) * 10.0 ** rng.uniform(-1, 1)
    y = rng.uniform(-3, 3) + rng.standard_normal(k) * np.sqrt(v + tau**2)
    y, v = _trouble(rng, y, v)
    return scale * y, scale**2 * v


def _trouble(rng: np.random.Generator, y: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Most as they are; the rest with identical effects, ties, too little spread, outliers or two maxima."""
    kind = rng.choice(6, p=[0.6, 0.05, 0.1, 0.1, 0.1, 0.05])
    first = np.arange(y.size)
    if kind == 1:
        return np.full_like(y, y[0]), v
    if kind == 2:
        return np.where(rng.random(y.size) < 0.5, y[0], y[-1]), v
    if kind == 3:
        return y.mean() + (y - y.mean()) * 10.0 ** rng.uniform(-8, -0.3), v
    if kind == 4:
        far = np.where(rng.random(y.size) < 0.15, rng.choice([-1, 1]) * 10.0 ** rng.uniform(0, 4), 0.0)
        return y + far * np.sqrt(v), v
    if kind == 5:  # two precise studies far apart among vague ones
        return y + np.where(first == 0, 10.0 ** rng.uniform(-1, 1), 0.0), np.where(first < 2, v / 1000, v)
    return y, v
