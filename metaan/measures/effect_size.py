"""One function for every effect size."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import OptionError, shown
from metaan.measures.columns import require
from metaan.measures.continuous import BIAS, CONTINUOUS, VARIANCE, VARIANCES, continuous
from metaan.measures.correlation import CORRELATION, correlation
from metaan.measures.kinds import MEASURES
from metaan.measures.person_time import INCIDENCE, INCIDENCE_TWO, incidence
from metaan.measures.proportion import RATES, rates
from metaan.measures.record import Effects
from metaan.measures.request import Request
from metaan.measures.two_by_two import TWO_BY_TWO, two_by_two
from metaan.validate import CORRECTION, FloatArray, number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["effect_size"]

_COUNTS: Final = RATES | TWO_BY_TWO | INCIDENCE | INCIDENCE_TWO
_COLUMNS: Final[dict[str, tuple[str, ...]]] = _COUNTS | CONTINUOUS | CORRELATION
_ALL: Final = sorted({name for names in _COLUMNS.values() for name in names})
_BIASED: Final = ("SMD", "SMDH", "SMCC", "SMCR")
_FAMILIES: Final[tuple[tuple[dict[str, tuple[str, ...]], Callable[[Request], Effects]], ...]] = (
    (RATES, rates), (TWO_BY_TWO, two_by_two), (INCIDENCE | INCIDENCE_TWO, incidence), (CONTINUOUS, continuous),
    (CORRELATION, correlation),
)  # fmt: skip


def effect_size(
    measure: str,
    data: pd.DataFrame | None = None,
    *,
    study: Any = None,
    correction: str | None = None,
    add: float = 0.5,
    variance: str | None = None,
    bias: str | None = None,
    missing: str = "raise",
    **columns: str | FloatArray | Any,
) -> Effects:
    """Effect sizes and sampling variances from counts, means, correlations or events over time.

    Parameters
    ----------
    measure : str
        One rate: PR, PLO, PLN, PAS, PFT (raw, logit, log, arcsine square root, Freeman-Tukey). Two rates: RR, OR, RD,
        AS, PETO. Continuous: MN, MD, SMD, SMDH (unequal variances), ROM (ratio of means), VR, CVR (ratios of standard
        deviations and of coefficients of variation), MC, SMCC, SMCR (change, standardised by the SD of the change or
        before). Correlation: COR, UCOR, ZCOR. Events over time: IR, IRLN, IRS, IRFT; two arms IRR, IRD, IRSD.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    correction : {"only0", "if0all", "all", "none"}, optional
        Which studies get `add` in each cell (events and non-events of each arm; events alone for counts over time). By
        default those that need it ("only0"), with a ZeroCellWarning; naming a policy keeps the note and drops the
        warning. PAS, PFT, AS, IRS, IRFT and IRSD need no correction and take it with "all" only, PETO where one is
        named. Counts only.
    add : float, default 0.5
        What is added to each cell, > 0.
    variance : {"LS", "LS2", "UB", "HO", "AV", "AVHO"}, optional
        Formula of the variance, "LS" by default: MD LS HO; SMD LS LS2 UB AV; SMDH SMCC SMCR LS LS2; ROM LS HO AV AVHO;
        COR LS AV; UCOR LS UB AV. Every other measure has one.
    bias : {"exact", "approximate", "none"}, optional
        Small-sample correction of SMD, SMDH, SMCC and SMCR: exact by default.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing value; dropping is noted.
    **columns : array of shape (k,) or column name
        What the measure is computed from. One rate: events, total. Two: events_t, total_t, events_c, total_c (treated,
        control). MN: mean, sd, n. Two means: mean_t, sd_t, n_t, mean_c, sd_c, n_c (VR without the means). Change:
        mean_post, mean_pre, sd_post, sd_pre, n, r (SMCR without sd_post). Correlation: r, n. Over time: events, time;
        two arms events_t, time_t, events_c, time_c.

    Returns
    -------
    Effects
        With what was given in `events` and `total`, or in `inputs`, and each correction in `notes`.

    Raises
    ------
    InputError
        Unknown column, lengths that differ, no studies.
    OptionError
        Unknown measure or option; columns that the measure does not take, or an option that it cannot honour.
    DataError
        Values that cannot be (events > total, an SD of 0, ``|r| >= 1`` ...); a study for which the measure is not
        defined.

    Warns
    -----
    ZeroCellWarning
        A correction was applied that was not asked for.

    Notes
    -----
    One rate, x events of n: PR x/n, variance p(1-p)/n; PLO log(x/(n-x)), 1/x + 1/(n-x); PLN log(x/n), 1/x - 1/n; PAS
    arcsin sqrt(x/n), 1/(4n); PFT half the sum of arcsin sqrt(x/(n+1)) and arcsin sqrt((x+1)/(n+1)), 1/(4n+2).

    Two rates, cells a, b (treated, event or not), c, d (control), n1 = a + b, n2 = c + d: RR log(a/n1) - log(c/n2),
    1/a - 1/n1 + 1/c - 1/n2; OR log(ad/bc), 1/a + 1/b + 1/c + 1/d; RD a/n1 - c/n2, ab/n1^3 + cd/n2^3; AS
    arcsin sqrt(a/n1) - arcsin sqrt(c/n2), 1/(4 n1) + 1/(4 n2); PETO (a - E)/V with E = (a + c) n1/N and
    V = (a + c)(b + d) n1 n2/(N^2 (N - 1)), 1/V.

    SMD is c (m1 - m2)/s with s the pooled SD and c = Gamma(f/2)/[sqrt(f/2) Gamma((f-1)/2)], f = n1 + n2 - 2; variance
    1/n1 + 1/n2 + SMD^2/(2N). ZCOR is artanh r, variance 1/(n - 3). IRLN is log(x/t), 1/x; comparisons over time are
    differences of two. All agree with metafor's ``escalc`` (3.8), but for variance "LS2" of SMDH, which there depends
    on the unit.

    References
    ----------
    Freeman MF, Tukey JW (1950). Ann Math Stat 21:607-611. doi:10.1214/aoms/1177729756
    Yusuf S, Peto R, Lewis J, Collins R, Sleight P (1985). Prog Cardiovasc Dis 27:335-371.
    Hedges LV (1981). J Educ Stat 6:107-128. doi:10.3102/10769986006002107
    Bonett DG (2009). Psychol Methods 14:225-238. doi:10.1037/a0016619

    Examples
    --------
    >>> eff = effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Adams", "Baker", "Clark"])
    >>> eff.yi.round(4)
    array([-2.615 , -1.8718, -1.2368])
    >>> effect_size("OR", events_t=[12], total_t=[40], events_c=[20], total_c=[41]).yi.round(4)
    array([-0.7985])
    """
    MEASURES.check(measure)
    _check_columns(measure, columns)
    if correction is not None:
        CORRECTION.check(correction)
        if measure not in _COUNTS:
            raise OptionError(f"correction={correction!r} is for counts; {measure} has no cells to correct.")
    added = number(add)
    if added is None or not 0 < added < float("inf"):
        raise OptionError(f"add={shown(add)} must be a positive number; use correction='none' to add nothing.")
    ask = Request(
        measure=measure, data=data, given=columns, study=study, correction=correction, add=added,
        missing=missing, variance=_variance(measure, variance), bias=_bias(measure, bias),
    )  # fmt: skip
    compute = next(family for names, family in _FAMILIES if measure in names)
    return compute(ask)


def _check_columns(measure: str, columns: dict[str, Any]) -> None:
    """Refuse names that nobody knows, columns that the measure does not take, and their absence."""
    needed = _COLUMNS[measure]
    for name in columns:
        if name not in _ALL:
            close = difflib.get_close_matches(name, needed, n=1)
            hint = f" Did you mean {close[0]}=?" if close else ""
            raise OptionError(f"{name}= is not known. measure={measure!r} takes {', '.join(needed)}.{hint}")
    require(measure, needed, {name: value for name, value in columns.items() if value is not None})


def _variance(measure: str, variance: str | None) -> str:
    if variance is None:
        return VARIANCE.default
    allowed = VARIANCES.get(measure, (VARIANCE.default,))
    if VARIANCE.check(variance) not in allowed:
        raise OptionError(
            f"variance={shown(variance)} does not exist for {measure}. Choose one of {', '.join(allowed)}."
        )
    return variance


def _bias(measure: str, bias: str | None) -> str:
    if bias is None:
        return BIAS.default
    if BIAS.check(bias) and measure not in _BIASED:
        raise OptionError(f"bias={shown(bias)} is for standardised effects ({', '.join(_BIASED)}), not for {measure}.")
    return bias
