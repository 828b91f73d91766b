"""Effect sizes of continuous outcomes: means, differences, standardised differences, ratios, variability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from metaan.errors import OptionError
from metaan.measures.columns import Columns, read
from metaan.measures.record import Effects
from metaan.measures.request import Request
from metaan.validate import FloatArray, Option, forbid

__all__ = ["BIAS", "CHANGE", "CONTINUOUS", "VARIANCE", "VARIANCES", "continuous", "hedges_factor"]

Pair = tuple[FloatArray, FloatArray]

_TWO: Final = ("mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c")
_CHANGES: Final = ("mean_post", "mean_pre", "sd_post", "sd_pre", "n", "r")
CHANGE: Final[dict[str, tuple[str, ...]]] = {
    "MC": _CHANGES,
    "SMCC": _CHANGES,
    "SMCR": ("mean_post", "mean_pre", "sd_pre", "n", "r"),
}
CONTINUOUS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("MD", "SMD", "SMDH", "ROM", "CVR"), _TWO),
    "VR": ("sd_t", "n_t", "sd_c", "n_c"),
    "MN": ("mean", "sd", "n"),
    **CHANGE,
}
VARIANCE: Final = Option(
    "variance",
    {
        "LS": "large-sample variance",
        "LS2": "large-sample variance of the uncorrected effect times the squared correction (Borenstein 2009); for "
        "SMDH with n in place of n - 1 and the corrected effect",
        "UB": "unbiased estimate of the variance",
        "HO": "one standard deviation for both arms",
        "AV": "large-sample variance at the average effect of all studies",
        "AVHO": "as AV, with one coefficient of variation for both arms",
    },
    "LS",
)
VARIANCES: Final = {
    "MD": ("LS", "HO"), "SMD": ("LS", "LS2", "UB", "AV"), "SMDH": ("LS", "LS2"), "ROM": ("LS", "HO", "AV", "AVHO"),
    "SMCC": ("LS", "LS2"), "SMCR": ("LS", "LS2"), "COR": ("LS", "AV"), "UCOR": ("LS", "UB", "AV"),
}  # fmt: skip
"""Which variances a measure has, where it has several."""
BIAS: Final = Option(
    "bias",
    {
        "exact": "Hedges' factor by gamma functions",
        "approximate": "Hedges' factor 1 - 3/(4 df - 1)",
        "none": "no correction: Cohen's d",
    },
    "exact",
)


def hedges_factor(df: FloatArray, bias: str) -> FloatArray:
    """Hedges 1981: what takes the small-sample bias from a standardised difference with `df` degrees of freedom."""
    if bias == "none":
        return np.ones_like(df)
    if bias == "approximate":
        return 1 - 3 / (4 * df - 1)
    return np.asarray(np.exp(gammaln(df / 2) - np.log(df / 2) / 2 - gammaln((df - 1) / 2)))


class _Arms(NamedTuple):
    m1: FloatArray
    s1: FloatArray
    n1: FloatArray
    m2: FloatArray
    s2: FloatArray
    n2: FloatArray

    @property
    def pooled(self) -> FloatArray:
        """Variance within the arms, weighted by degrees of freedom."""
        return ((self.n1 - 1) * self.s1**2 + (self.n2 - 1) * self.s2**2) / (self.n1 + self.n2 - 2)


def _mean_difference(of: Columns, variance: str, bias: str) -> Pair:
    a = _Arms(*(of[name] for name in _TWO))
    if variance == "HO":
        return a.m1 - a.m2, a.pooled * (1 / a.n1 + 1 / a.n2)
    return a.m1 - a.m2, a.s1**2 / a.n1 + a.s2**2 / a.n2


def _standardised(of: Columns, variance: str, bias: str) -> Pair:
    a = _Arms(*(of[name] for name in _TWO))
    n, df, base = a.n1 + a.n2, a.n1 + a.n2 - 2, 1 / a.n1 + 1 / a.n2
    d = (a.m1 - a.m2) / np.sqrt(a.pooled)
    c = hedges_factor(df, bias)
    g = c * d
    if variance == "LS2":
        return g, c**2 * (base + d**2 / (2 * n))
    if variance == "UB":
        return g, base + (1 - (df - 2) / (df * c**2)) * g**2
    at = np.average(g, weights=n) if variance == "AV" else g
    return g, base + at**2 / (2 * n)


def _standardised_unequal(of: Columns, variance: str, bias: str) -> Pair:
    """Bonett 2009: by the root of the mean of both variances."""
    a = _Arms(*(of[name] for name in _TWO))
    u1, u2 = a.s1**2, a.s2**2
    c = hedges_factor(a.n1 + a.n2 - 2, bias)
    g = c * (a.m1 - a.m2) / np.sqrt((u1 + u2) / 2)
    f1, f2 = a.n1 - 1, a.n2 - 1
    if variance == "LS2":
        scale = (u1 + u2) / 2
        return g, (u1 / a.n1 + u2 / a.n2) / scale + g**2 * (u1**2 / a.n1 + u2**2 / a.n2) / (8 * scale**2)
    at = g**2 * (u1**2 / f1 + u2**2 / f2) / (2 * (u1 + u2) ** 2)
    return g, c**2 * (at + (u1 / f1 + u2 / f2) / ((u1 + u2) / 2))


def _ratio_of_means(of: Columns, variance: str, bias: str) -> Pair:
    a = _Arms(*(of[name] for name in _TWO))
    forbid(a.m1 * a.m2 <= 0, of.study, "ROM needs means of one sign", [a.m1, a.m2])
    y, c1, c2 = np.log(a.m1 / a.m2), a.s1 / a.m1, a.s2 / a.m2
    if variance == "HO":
        return y, a.pooled * (1 / (a.n1 * a.m1**2) + 1 / (a.n2 * a.m2**2))
    if variance == "AV":
        return y, np.average(c1, weights=a.n1) ** 2 / a.n1 + np.average(c2, weights=a.n2) ** 2 / a.n2
    if variance == "AVHO":
        both = (a.n1 @ c1 + a.n2 @ c2) / (a.n1 + a.n2).sum()
        return y, both**2 * (1 / a.n1 + 1 / a.n2)
    return y, c1**2 / a.n1 + c2**2 / a.n2


def _mean(of: Columns, variance: str, bias: str) -> Pair:
    return of["mean"], of["sd"] ** 2 / of["n"]


def _change_variance(of: Columns) -> FloatArray:
    return of["sd_post"] ** 2 + of["sd_pre"] ** 2 - 2 * of["r"] * of["sd_post"] * of["sd_pre"]


def _mean_change(of: Columns, variance: str, bias: str) -> Pair:
    return of["mean_post"] - of["mean_pre"], _change_variance(of) / of["n"]


def _standardised_change(of: Columns, variance: str, bias: str, *, before: bool = False) -> Pair:
    n = of["n"]
    scale, base = (of["sd_pre"], 2 * (1 - of["r"]) / n) if before else (np.sqrt(_change_variance(of)), 1 / n)
    d = (of["mean_post"] - of["mean_pre"]) / scale
    c = hedges_factor(n - 1, bias)
    if variance == "LS2":
        return c * d, c**2 * (base + d**2 / (2 * n))
    return c * d, base + (c * d) ** 2 / (2 * n)


def _standardised_change_before(of: Columns, variance: str, bias: str) -> Pair:
    return _standardised_change(of, variance, bias, before=True)


def _variability(of: Columns, variance: str, bias: str) -> Pair:
    """Nakagawa 2015: log ratio of standard deviations, each corrected by 1/(2(n - 1))."""
    h1, h2 = 1 / (2 * (of["n_t"] - 1)), 1 / (2 * (of["n_c"] - 1))
    return np.log(of["sd_t"] / of["sd_c"]) + h1 - h2, h1 + h2


def _variation(of: Columns, variance: str, bias: str) -> Pair:
    a = _Arms(*(of[name] for name in _TWO))
    forbid((a.m1 <= 0) | (a.m2 <= 0), of.study, "CVR needs positive means", [a.m1, a.m2])
    y, v = _variability(of, variance, bias)
    return y - np.log(a.m1 / a.m2), v + (a.s1 / a.m1) ** 2 / a.n1 + (a.s2 / a.m2) ** 2 / a.n2


_FORMULA: Final[dict[str, Callable[[Columns, str, str], Pair]]] = {
    "MD": _mean_difference, "SMD": _standardised, "SMDH": _standardised_unequal, "ROM": _ratio_of_means,
    "MN": _mean, "MC": _mean_change, "SMCC": _standardised_change, "SMCR": _standardised_change_before,
    "VR": _variability, "CVR": _variation,
}  # fmt: skip
_STANDARDISED: Final = ("SMD", "SMDH", "SMCC", "SMCR")


def _check(of: Columns, measure: str) -> None:
    """Refuse standard deviations, sample sizes and correlations that cannot be."""
    least = 3 if measure in ("SMCC", "SMCR") else 2
    for name, value in of.values.items():
        if name.startswith("sd"):
            forbid(~(value > 0), of.study, f"{name} must be positive", [value])
        elif name.startswith("n"):
            forbid(value < least, of.study, f"{name} must be at least {least}", [value])
            forbid(value != np.floor(value), of.study, f"{name} must be a whole number", [value])
    if "r" in of.values:
        forbid(np.abs(of["r"]) >= 1, of.study, "r must lie between -1 and 1", [of["r"]])


def continuous(ask: Request) -> Effects:
    """Effect sizes of continuous outcomes; see `metaan.effect_size`."""
    of = read(CONTINUOUS[ask.measure], ask.data, ask.given, ask.study, ask.missing)
    _check(of, ask.measure)
    if ask.variance == "UB" and ask.bias != "exact":
        raise OptionError("variance='UB' is unbiased with bias='exact' only.")
    yi, vi = _FORMULA[ask.measure](of, ask.variance, ask.bias if ask.measure in _STANDARDISED else "none")
    usable = np.isfinite(yi) & np.isfinite(vi) & (vi > 0)
    forbid(~usable, of.study, f"measure {ask.measure} has no usable value or variance", [yi, vi])
    return Effects(yi=yi, vi=vi, study=of.study, measure=ask.measure, data=of.data, notes=of.notes, inputs=of.values)
