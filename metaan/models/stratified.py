"""Mantel-Haenszel and Peto: common effects from tables without a continuity correction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtri

from metaan.core.inference import log_pvalue
from metaan.core.tables import (
    POOLED,
    Chi2,
    Pooled,
    breslow_day,
    cochran_mantel_haenszel,
    person_time_test,
)
from metaan.core.tables import peto as peto_sums
from metaan.errors import DataError, Note, OptionError, listed, shown
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.results import Convergence, PoolResult, Spec
from metaan.models.strata import Strata, each_trial, strata
from metaan.validate import Option, check_level

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StratifiedResult", "mantel_haenszel", "peto"]

_MEASURE: Final = Option(
    "measure",
    {
        "OR": "odds ratio (variance: Robins, Breslow & Greenland 1986)",
        "RR": "risk ratio (Greenland & Robins 1985)",
        "RD": "risk difference (Sato, Greenland & Robins 1989)",
        "IRR": "incidence rate ratio (Greenland & Robins 1985)",
        "IRD": "incidence rate difference (Greenland & Robins 1985)",
    },
    "OR",
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StratifiedResult(PoolResult):
    """Result of `metaan.mantel_haenszel` and `metaan.peto`: a common effect from the tables themselves.

    As `PoolResult` (tau2 is 0 and there is no prediction interval; I2 is the Q form), and:

    Parameters
    ----------
    k_all : int
        Trials given, those included that say nothing about this measure.
    yates : bool
        Whether `association` has Yates' correction.
    association : Chi2
        Test of no effect in any trial: Cochran-Mantel-Haenszel, or its analogue for events over time.
    breslow_day, tarone : Chi2 or None
        Homogeneity of the odds ratios, for ``measure="OR"``.
    """

    k_all: int
    yates: bool
    association: Chi2
    breslow_day: Chi2 | None
    tarone: Chi2 | None

    def _columns(self) -> tuple[str, ...]:
        return (*super()._columns(), "k_all")

    def tests(self) -> pd.DataFrame:
        """Tests of the tables: of association and, for odds ratios, of their homogeneity.

        Returns
        -------
        pandas.DataFrame
            Columns test, statistic, df, pvalue.
        """
        import pandas as pd

        person_time, yates = self.spec.measure.startswith("I"), " with Yates' correction" if self.yates else ""
        first = f"{'person-time' if person_time else 'Cochran-Mantel-Haenszel'}{yates}"
        rows = {first: self.association, "Breslow-Day": self.breslow_day, "Tarone": self.tarone}
        return pd.DataFrame([{"test": name, **test._asdict()} for name, test in rows.items() if test is not None])


def mantel_haenszel(
    measure: str,
    data: pd.DataFrame | None = None,
    *,
    study: Any = None,
    level: float = 0.95,
    continuity: bool = True,
    missing: str = "raise",
    **columns: Any,
) -> StratifiedResult:
    """Pool two-arm trials by the method of Mantel and Haenszel, without a continuity correction.

    Parameters
    ----------
    measure : {"OR", "RR", "RD", "IRR", "IRD"}
        Odds ratio, risk ratio, risk difference, incidence rate ratio, incidence rate difference.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    level : float, default 0.95
        Level of the interval, in (0.5, 1).
    continuity : bool, default True
        Whether the test of association has Yates' correction. The estimate never has one.
    missing : {"raise", "drop"}, default "raise"
        What to do with a trial that has a missing count; dropping is noted.
    **columns : array of shape (k,) or column name
        events_t, total_t, events_c, total_c; for IRR and IRD events_t, time_t, events_c, time_c.

    Returns
    -------
    StratifiedResult
        On the analysis scale (log for ratios); ``back()`` gives ratios.

    Raises
    ------
    OptionError
        Unknown measure, columns that it does not take, ``continuity`` that is no bool.
    DataError
        Impossible counts; no events in one of the arms over all trials, where a ratio is 0 or infinite.

    Notes
    -----
    The model assumes one true effect. A trial without events in both arms (or, for OR, in everybody) has no weight for
    a ratio; the effects of single trials, shown beside, have 0.5 added where a cell is 0. Agrees with metafor's
    ``rma.mh``, but that Yates' correction is at most ``|O - E|`` (as in R's ``mantelhaen.test``), so that the test of
    no effect cannot rise again when O is near E. Formulas: OR sum(ad/N)/sum(bc/N); RR sum(a n2/N)/sum(c n1/N); RD
    sum[(a n2 - c n1)/N]/sum(n1 n2/N).

    References
    ----------
    Mantel N, Haenszel W (1959). J Natl Cancer Inst 22:719-748.
    Robins J, Breslow N, Greenland S (1986). Biometrics 42:311-323.
    Greenland S, Robins JM (1985). Biometrics 41:55-68.
    Sato T, Greenland S, Robins JM (1989). Biometrics 45:1323-1324.
    Tarone RE (1985). Biometrika 72:91-95.

    Examples
    --------
    >>> res = mantel_haenszel("OR", events_t=[4, 6], total_t=[20, 30], events_c=[8, 9], total_c=[20, 31])
    >>> round(res.back().estimate, 4)
    0.499
    """
    _MEASURE.check(measure)
    if not isinstance(continuity, (bool, np.bool_)):
        raise OptionError(f"continuity={shown(continuity)} must be True or False.")
    level = check_level(level)
    of = strata(measure, columns, data=data, study=study, missing=missing)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = POOLED[measure](*of.cells)
    if not (math.isfinite(pooled.estimate) and pooled.variance > 0):
        raise DataError(f"The Mantel-Haenszel {measure} is not defined: {_why_undefined(measure, of)}.")
    test = person_time_test if measure.startswith("I") else cochran_mantel_haenszel
    association = test(*of.cells, continuity=bool(continuity))
    homogeneity = breslow_day(*of.cells, pooled.estimate) if measure == "OR" else ()
    return _result(measure, of, pooled, level, "Mantel-Haenszel", _Tests(association, bool(continuity), *homogeneity))


def _why_undefined(measure: str, of: Strata) -> str:
    one, _, three, _ = (float(cell.sum()) for cell in of.cells)
    if not one + three:
        return "there are no events in any trial"
    if not measure.startswith("I") and not sum(float(of.cells[i].sum()) for i in (1, 3)):
        return "everybody has an event in every trial"
    if measure in ("RD", "IRD"):
        return "the trials leave it no variance"
    if not (one and three):
        return "there are no events in one of the arms over all trials"
    return "no trial has events in one arm and non-events in the other"


def peto(
    data: pd.DataFrame | None = None,
    *,
    events_t: Any,
    total_t: Any,
    events_c: Any,
    total_c: Any,
    study: Any = None,
    level: float = 0.95,
    missing: str = "raise",
) -> StratifiedResult:
    """Pool two-arm trials by Peto's one-step odds ratio, for rare events and arms of about equal size.

    Parameters
    ----------
    data : pandas.DataFrame, optional
        Where column names are looked up.
    events_t, total_t, events_c, total_c : array of shape (k,) or column name
        Events and patients of the treated and the control arm.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    level : float, default 0.95
        Level of the interval, in (0.5, 1).
    missing : {"raise", "drop"}, default "raise"
        What to do with a trial that has a missing count; dropping is noted.

    Returns
    -------
    StratifiedResult
        The log odds ratio; ``back()`` gives the ratio. `association` is the test without Yates' correction.

    Raises
    ------
    DataError
        Impossible counts; no trial with both events and non-events.

    Notes
    -----
    log OR = sum(O - E)/sum V with E and V of the hypergeometric distribution. It is biased where effects are large or
    the arms differ much in size (Greenland & Salvan 1990); a note says when one arm is over twice the other.

    References
    ----------
    Yusuf S, Peto R, Lewis J, Collins R, Sleight P (1985). Prog Cardiovasc Dis 27:335-371.
    Greenland S, Salvan A (1990). Stat Med 9:247-252. doi:10.1002/sim.4780090307

    Examples
    --------
    >>> res = peto(events_t=[4, 6], total_t=[20, 30], events_c=[8, 9], total_c=[20, 31])
    >>> round(res.back().estimate, 4)
    0.5109
    """
    level = check_level(level)
    columns = {"events_t": events_t, "total_t": total_t, "events_c": events_c, "total_c": total_c}
    of = strata("PETO", columns, data=data, study=study, missing=missing)
    if not of.informative.any():
        raise DataError("Peto's odds ratio is not defined: no trial has both events and non-events.")
    a, b, c, d = of.cells
    ratio = (a + b) / (c + d)
    lopsided = of.informative & ((ratio > 2) | (ratio < 0.5))
    if lopsided.any():
        names = tuple(name for name, bad in zip(of.study, lopsided, strict=True) if bad)
        text = f"One arm is over twice the other, where Peto's method is biased: {listed(names)}."
        of = of._replace(notes=(*of.notes, Note("peto-unbalanced", text, names)))
    pooled = peto_sums(*of.cells)
    association = cochran_mantel_haenszel(*of.cells, continuity=False)
    return _result("PETO", of, pooled, level, "Peto", _Tests(association, False))


class _Tests(NamedTuple):
    association: Chi2
    yates: bool
    breslow_day: Chi2 | None = None
    tarone: Chi2 | None = None


def _result(measure: str, of: Strata, pooled: Pooled, level: float, method: str, tests: _Tests) -> StratifiedResult:
    eff = each_trial(measure, of)
    se, weights = math.sqrt(pooled.variance), pooled.weights[of.informative]
    half = float(ndtri((1 + level) / 2)) * se
    z = pooled.estimate / se
    log_p = float(log_pvalue(z, np.inf))
    q, q_df = _heterogeneity(measure, of, eff, pooled.estimate)
    return StratifiedResult(
        estimate=pooled.estimate, se=se, ci_low=pooled.estimate - half, ci_high=pooled.estimate + half,
        statistic=z, pvalue=math.exp(log_p), log_pvalue=log_p, df=math.inf, pi_low=math.nan, pi_high=math.nan,
        k=eff.k, tau2=0.0, tau=0.0, I2=max(0.0, 100 * (q - q_df) / q) if q > 0 else 0.0,
        H2=q / q_df if q_df else 1.0, Q=q, Q_df=q_df, Q_pvalue=float(chdtrc(q_df, q)) if q_df else 1.0,
        weights=100 * weights / weights.sum(), fitted=np.full(eff.k, pooled.estimate),
        blup=np.full(eff.k, pooled.estimate), blup_se=np.full(eff.k, se), convergence=Convergence(),
        spec=Spec(model="stratified", measure=measure, method=method, test="z", level=level, pi="none"),
        effects=eff,
        notes=eff.notes + data_notes(eff.data) + repeated(eff) + of.silence(measure) + _without(of, q_df + 1, eff.k),
        k_all=len(of.study), **tests._asdict(),
    )  # fmt: skip


def _without(of: Strata, inside: int, k: int) -> tuple[Note, ...]:
    """Which trials Q leaves out: those of differences where nobody, or everybody, has an event."""
    if inside >= k or k < 2:
        return ()
    hit, total = of.cells[0] + of.cells[2], of.cells[1] + of.cells[3]
    names = tuple(name for name, x, rest in zip(of.study, hit, total, strict=True) if x == 0 or rest == 0)
    return (
        Note("q-without", f"Q and I2 leave out trials without events, or with events alone: {listed(names)}.", names),
    )


def _heterogeneity(measure: str, of: Strata, eff: Effects, estimate: float) -> tuple[float, int]:
    """Q about the pooled effect, over the trials with events (metafor leaves 0/0 out for differences too)."""
    one, _, three, _ = (cell[of.informative] for cell in of.cells)
    events = one + three > 0
    if measure in ("OR", "RR", "RD"):
        events &= ~((of.cells[1] + of.cells[3])[of.informative] == 0)
    if measure == "PETO":
        centre = np.average(eff.yi, weights=1 / eff.vi)
        return float(((eff.yi - centre) ** 2 / eff.vi).sum()), eff.k - 1
    if events.sum() < 2:
        return 0.0, 0
    return float(((eff.yi - estimate)[events] ** 2 / eff.vi[events]).sum()), int(events.sum()) - 1
