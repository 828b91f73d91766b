"""Counts of the trials that the benchmarks use, from R's metadat, and data sets drawn like them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import metaan

FloatArray = npt.NDArray[np.float64]

# dat.bcg: 13 trials of BCG vaccine against tuberculosis. Colditz et al. 1994, JAMA 271:698-702.
BCG_TREATED_CASES = np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27], dtype=float)
BCG_TREATED_FREE = np.array(
    [119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886], dtype=float
)
BCG_CONTROL_CASES = np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29], dtype=float)
BCG_CONTROL_FREE = np.array([128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825], dtype=float)

# dat.nielweise2007, columns ci and n2i: bloodstream infections with standard catheters in 18 trials, one without any.
# Niel-Weise, Stijnen & van den Broek 2007, Intensive Care Med 33:2058-2068; a GLMM of them is in
# Stijnen, Hamza & Ozdemir 2010, Stat Med 29:3046-3067.
CATHETER_EVENTS = np.array([3, 3, 9, 7, 6, 4, 3, 2, 19, 2, 7, 1, 5, 11, 0, 1, 3, 1], dtype=float)
CATHETER_TOTAL = np.array(
    [117, 35, 195, 136, 157, 139, 177, 39, 103, 122, 64, 58, 175, 180, 105, 262, 362, 69], dtype=float
)


def bcg() -> tuple[FloatArray, FloatArray]:
    """Log risk ratios of the BCG trials and their sampling variances."""
    treated = BCG_TREATED_CASES + BCG_TREATED_FREE
    control = BCG_CONTROL_CASES + BCG_CONTROL_FREE
    yi = np.log(BCG_TREATED_CASES / treated) - np.log(BCG_CONTROL_CASES / control)
    vi = 1 / BCG_TREATED_CASES - 1 / treated + 1 / BCG_CONTROL_CASES - 1 / control
    return yi, vi


def simulated(n: int, seed: int = 13) -> tuple[FloatArray, FloatArray]:
    """Parametric bootstrap of the BCG trials, shape (n, 13); variances vary by 20 % between data sets."""
    rng = np.random.default_rng(seed)
    yi, vi = bcg()
    fit = metaan.pool(metaan.effects(yi, vi), method="REML", test="z")
    v = vi * np.exp(rng.normal(0, 0.2, (n, vi.size)))
    return rng.normal(fit.estimate, np.sqrt(v + fit.tau2)), v
