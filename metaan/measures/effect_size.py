"""One function for every effect size that is computed from counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from metaan.errors import OptionError
from metaan.measures.proportion import MEASURE, rates
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS, TWO_BY_TWO, two_by_two
from metaan.validate import CORRECTION, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EFFECT", "effect_size"]

EFFECT: Final = Option("measure", {**MEASURE.choices, **TWO_BY_TWO.choices}, "PLO")


def effect_size(
    measure: str,
    data: pd.DataFrame | None = None,
    *,
    events: Any = None,
    total: Any = None,
    events_t: Any = None,
    total_t: Any = None,
    events_c: Any = None,
    total_c: Any = None,
    study: Any = None,
    correction: str | None = None,
    add: float = 0.5,
    missing: str = "raise",
) -> Effects:
    """Effect sizes and sampling variances from counts, of one arm or of two.

    Parameters
    ----------
    measure : {"PR", "PLO", "PLN", "PAS", "PFT", "RR", "OR", "RD", "AS", "PETO"}
        One arm: raw, logit, log, arcsine square root or Freeman-Tukey double arcsine of events/total. Two arms: log risk
        ratio, log odds ratio, risk difference, difference of arcsine square roots, Peto's log odds ratio.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    events, total : array of shape (k,) or column name
        One arm: whole numbers with 0 <= events <= total and total >= 1.
    events_t, total_t, events_c, total_c : array of shape (k,) or column name
        Two arms: those of the treated and of the control arm.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    correction : {"only0", "if0all", "all", "none"}, optional
        Which studies get `add` in each cell (events and non-events of each arm). By default those with a cell of 0 alone
        ("only0"), with a ZeroCellWarning; naming a policy keeps the note and drops the warning. PAS, PFT, AS and PETO
        need no correction and take it with "all" only.
    add : float, default 0.5
        What is added to each cell, > 0.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count; dropping is noted.

    Returns
    -------
    Effects
        With the counts as given in `events` and `total`, or in `arms`, and each correction in `notes`.

    Raises
    ------
    InputError
        Unknown column, lengths that differ, no studies.
    OptionError
        Unknown measure, correction or missing-data policy; counts of one arm for a measure of two, or the reverse.
    DataError
        events > total, negative, fractional, infinite or missing counts; a study for which the measure is undefined.

    Warns
    -----
    ZeroCellWarning
        A correction was applied that was not asked for.

    Notes
    -----
    With x events of n: PR x/n, variance p(1-p)/n; PLO log(x/(n-x)), variance 1/x + 1/(n-x); PLN log(x/n), variance
    1/x - 1/n; PAS arcsin sqrt(x/n), variance 1/(4n); PFT half the sum of arcsin sqrt(x/(n+1)) and
    arcsin sqrt((x+1)/(n+1)), variance 1/(4n+2).

    With cells a, b (treated, event or not) and c, d (control), n1 = a + b, n2 = c + d: RR log(a/n1) - log(c/n2),
    variance 1/a - 1/n1 + 1/c - 1/n2; OR log(ad/bc), variance 1/a + 1/b + 1/c + 1/d; RD a/n1 - c/n2, variance
    ab/n1^3 + cd/n2^3; AS arcsin sqrt(a/n1) - arcsin sqrt(c/n2), variance 1/(4 n1) + 1/(4 n2); PETO (a - E)/V with
    E = (a + c) n1/N, V = (a + c)(b + d) n1 n2/(N^2 (N - 1)), variance 1/V. The formulas and corrections are those of
    metafor's ``escalc``.

    References
    ----------
    Freeman MF, Tukey JW (1950). Ann Math Stat 21:607-611. doi:10.1214/aoms/1177729756
    Yusuf S, Peto R, Lewis J, Collins R, Sleight P (1985). Prog Cardiovasc Dis 27:335-371.

    Examples
    --------
    >>> eff = effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Adams", "Baker", "Clark"])
    >>> eff.yi.round(4)
    array([-2.615 , -1.8718, -1.2368])
    >>> effect_size("OR", events_t=[12], total_t=[40], events_c=[20], total_c=[41]).yi.round(4)
    array([-0.7985])
    """
    EFFECT.check(measure)
    if correction is not None:
        CORRECTION.check(correction)
    if isinstance(add, bool) or not isinstance(add, (int, float)) or not 0 < add < float("inf"):
        raise OptionError(f"add={add!r} must be a positive number; use correction='none' to add nothing.")
    given = {"events": events, "total": total, "events_t": events_t, "total_t": total_t, "events_c": events_c,
             "total_c": total_c}  # fmt: skip
    needed = ARMS if measure in TWO_BY_TWO.choices else ("events", "total")
    _check_arms(measure, given, needed)
    compute = two_by_two if needed == ARMS else rates
    return compute(measure, data, given, study=study, correction=correction, add=float(add), missing=missing)


def _check_arms(measure: str, given: dict[str, Any], needed: tuple[str, ...]) -> None:
    """Refuse counts of one arm for a measure of two, and the reverse."""
    absent = [name for name in needed if given[name] is None]
    beside = [name for name, value in given.items() if value is not None and name not in needed]
    if absent or beside:
        told = f" It does not take {', '.join(beside)}." if beside else ""
        raise OptionError(f"measure={measure!r} needs {', '.join(f'{name}=' for name in needed)}.{told}")
