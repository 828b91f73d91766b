"""Fits of the other programs, every option spelled out: normal inference, level 95 %.

A package that is not installed is None, and its rows are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pymare import Dataset
from pymare.estimators import DerSimonianLaird, Hedges, VarianceBasedLikelihoodEstimator
from side_by_side import peer
from statsmodels.stats.meta_analysis import combine_effects
from trials import FloatArray

pimeta = peer("pimeta")
meta_analyze = peer("meta_analyze")  # the module of PyMetaAnalysis

Tau2 = Callable[[FloatArray, FloatArray, str], float]

PYMARE: dict[str, Callable[[], Any]] = {
    "DL": DerSimonianLaird,
    "HE": Hedges,
    "ML": lambda: VarianceBasedLikelihoodEstimator(method="ML", small_sample_correction="wald"),
    "REML": lambda: VarianceBasedLikelihoodEstimator(method="REML", small_sample_correction="wald"),
}
STATSMODELS = {"DL": "chi2", "PM": "iterated"}


def pimeta_fit(yi: FloatArray, vi: FloatArray, method: str = "REML") -> Any:
    return pimeta.rma(yi, vi, method=method, test="z", measure="RR", level=0.95)


def meta_analyze_fit(yi: FloatArray, vi: FloatArray, method: str = "REML") -> Any:
    return meta_analyze.meta_analysis(
        effect=yi, variance=vi, model="random", tau2_method=method, ci_method="normal", confidence_level=0.95
    )


def pymare_fit(yi: FloatArray, vi: FloatArray, method: str = "REML") -> Any:
    """One column for each data set: shape (k,) or (k, n)."""
    y, v = yi.reshape(yi.shape[0], -1), vi.reshape(vi.shape[0], -1)
    data = Dataset(y=y, v=v, X=np.ones((y.shape[0], 1)), add_intercept=False)
    return PYMARE[method]().fit_dataset(data)


def pymare_tau2(fit: Any) -> FloatArray:
    """One for each data set."""
    return np.ravel(fit.params_["tau2"])


def statsmodels_fit(yi: FloatArray, vi: FloatArray, method: str = "PM") -> Any:
    return combine_effects(yi, vi, method_re=STATSMODELS[method], use_t=False, alpha=0.05)


def metafor_call(yi: str = "yi", vi: str = "vi", method: str = "REML") -> str:
    """Expression for the R session."""
    return f"rma({yi}, {vi}, method='{method}', test='z', level=95)"


def estimators() -> dict[str, tuple[tuple[str, ...], Tau2]]:
    """Of each program in Python that is installed: its estimators of tau2, and a fit that returns tau2."""
    found: dict[str, tuple[tuple[str, ...], Tau2]] = {
        "PyMARE": (tuple(PYMARE), lambda y, v, method: float(pymare_tau2(pymare_fit(y, v, method))[0])),
        "statsmodels": (tuple(STATSMODELS), lambda y, v, method: float(statsmodels_fit(y, v, method).tau2)),
    }
    if meta_analyze:
        names = ("DL", "REML", "PM")
        found["PyMetaAnalysis"] = (names, lambda y, v, method: float(meta_analyze_fit(y, v, method).tau2))
    if pimeta:
        names = ("DL", "HE", "HS", "SJ", "ML", "REML", "PM")
        found["pimeta"] = (names, lambda y, v, method: float(pimeta_fit(y, v, method).tau2))
    return found
