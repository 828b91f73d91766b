"""Mantel-Haenszel and Peto: common effects from tables without a continuity correction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
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
from metaan.errors import DataError, Note, OptionError, listed
from metaan.measures.columns import read
from metaan.measures.effect_size import effect_size
from metaan.measures.person_time import TIMES, times
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS, tables
from metaan.models.cautions import data_notes
from metaan.models.results import Convergence, PoolResult, Spec
from metaan.validate import FloatArray, Option, check_level

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
    association : Chi2
        Test of no effect in any trial: Cochran-Mantel-Haenszel, or its analogue for events over time.
    breslow_day, tarone : Chi2 or None
        Homogeneity of the odds ratios, for ``measure="OR"``.
    """

    k_all: int
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

        rows = {"association": self.association, "Breslow-Day": self.breslow_day, "Tarone": self.tarone}
        return pd.DataFrame([{"test": name, **test._asdict()} for name, test in rows.items() if test is not None])


class _Strata(NamedTuple):
    """Cells of k trials, which of them say something, and how they were read."""

    cells: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    informative: npt.NDArray[np.bool_]
    study: tuple[str, ...]
    data: Any
    notes: tuple[Note, ...]


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
    ``rma.mh``. Formulas: OR sum(ad/N)/sum(bc/N); RR sum(a n2/N)/sum(c n1/N); RD sum[(a n2 - c n1)/N]/sum(n1 n2/N).

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
    if not isinstance(continuity, bool):
        raise OptionError(f"continuity={continuity!r} must be True or False.")
    level = check_level(level)
    effect_options = {"data": data, "study": study, "missing": missing}
    strata = _strata(measure, columns, **effect_options)
    pooled = POOLED[measure](*strata.cells)
    if not (math.isfinite(pooled.estimate) and pooled.variance > 0):
        raise DataError(
            f"The Mantel-Haenszel {measure} is not defined: there are no events in one of the arms over all trials."
        )
    test = person_time_test if measure.startswith("I") else cochran_mantel_haenszel
    homogeneity = breslow_day(*strata.cells, pooled.estimate) if measure == "OR" else (None, None)
    return _result(
        measure, strata, pooled, level, columns, "Mantel-Haenszel", test(*strata.cells, continuity=continuity),
        homogeneity,
    )  # fmt: skip


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
    strata = _strata("PETO", columns, data=data, study=study, missing=missing)
    if not strata.informative.any():
        raise DataError("Peto's odds ratio is not defined: no trial has both events and non-events.")
    a, b, c, d = strata.cells
    ratio = (a + b) / (c + d)
    lopsided = strata.informative & ((ratio > 2) | (ratio < 0.5))
    if lopsided.any():
        names = tuple(name for name, bad in zip(strata.study, lopsided, strict=True) if bad)
        text = f"One arm is over twice the other, where Peto's method is biased: {listed(names)}."
        strata = strata._replace(notes=(*strata.notes, Note("peto-unbalanced", text, names)))
    pooled = peto_sums(*strata.cells)
    association = cochran_mantel_haenszel(*strata.cells, continuity=False)
    return _result("PETO", strata, pooled, level, columns, "Peto", association, (None, None))


def _strata(measure: str, columns: dict[str, Any], *, data: Any, study: Any, missing: str) -> _Strata:
    needed = TIMES if measure.startswith("I") else ARMS
    beside, absent = [n for n in columns if n not in needed], [n for n in needed if columns.get(n) is None]
    if beside or absent:
        told = f" It does not take {', '.join(beside)}." if beside else ""
        raise OptionError(f"measure={measure!r} needs {', '.join(f'{name}=' for name in needed)}.{told}")
    if measure.startswith("I"):
        of = read(TIMES, data, columns, study, missing)
        times(of)
        x1, t1, x2, t2 = (of[name] for name in TIMES)
        says = (x1 + x2 > 0) | (measure == "IRD")
        return _Strata((x1, t1, x2, t2), says, of.study, of.data, of.notes)
    found = tables(data, columns, study, missing)
    a, b, c, d = found.cells
    says = np.ones(a.shape, dtype=bool) if measure == "RD" else a + c > 0
    if measure in ("OR", "PETO"):
        says &= b + d > 0
    return _Strata(found.cells, says, found.study, found.data, found.notes)


def _each(measure: str, strata: _Strata) -> Effects:
    """Effects of the informative trials, 0.5 added where a cell is 0 (metafor's display)."""
    names = TIMES if measure.startswith("I") else ARMS
    one, two, three, four = (cell[strata.informative] for cell in strata.cells)
    values = (one, two, three, four) if measure.startswith("I") else (one, one + two, three, three + four)
    study = [name for name, says in zip(strata.study, strata.informative, strict=True) if says]
    rows = strata.data
    if rows is not None and len(rows) == len(strata.study):
        rows = rows.loc[strata.informative]
    counts: dict[str, Any] = dict(zip(names, values, strict=True))
    eff = effect_size(measure, study=study, correction="none" if measure == "PETO" else "only0", **counts)
    shown = tuple(
        Note("zero-cell-shown", f"For the effects of single trials alone, {note.text}", note.studies)
        for note in eff.notes
    )
    return Effects(
        yi=eff.yi, vi=eff.vi, study=eff.study, measure=measure, data=rows, inputs=eff.inputs, notes=strata.notes + shown
    )


def _result(
    measure: str, strata: _Strata, pooled: Pooled, level: float, columns: dict[str, Any], method: str,
    association: Chi2, homogeneity: tuple[Chi2 | None, Chi2 | None],
) -> StratifiedResult:  # fmt: skip
    eff = _each(measure, strata)
    se, weights = math.sqrt(pooled.variance), pooled.weights[strata.informative]
    half = float(ndtri((1 + level) / 2)) * se
    z = pooled.estimate / se
    log_p = float(log_pvalue(z, np.inf))
    q, q_df = _heterogeneity(measure, strata, eff, pooled.estimate)
    notes = list(eff.notes + data_notes(eff.data))
    silent = tuple(name for name, says in zip(strata.study, strata.informative, strict=True) if not says)
    if silent:
        text = f"{len(silent)} trials without events (or with events alone) say nothing on {measure}: {listed(silent)}."
        notes.append(Note("no-information", text, silent))
    return StratifiedResult(
        estimate=pooled.estimate, se=se, ci_low=pooled.estimate - half, ci_high=pooled.estimate + half,
        statistic=z, pvalue=math.exp(log_p), log_pvalue=log_p, df=math.inf, pi_low=math.nan, pi_high=math.nan,
        k=eff.k, tau2=0.0, tau=0.0, I2=max(0.0, 100 * (q - q_df) / q) if q > 0 else 0.0,
        H2=q / q_df if q_df else math.nan, Q=q, Q_df=q_df, Q_pvalue=float(chdtrc(q_df, q)) if q_df else 1.0,
        weights=100 * weights / weights.sum(), fitted=np.full(eff.k, pooled.estimate),
        blup=np.full(eff.k, pooled.estimate), blup_se=np.full(eff.k, se), convergence=Convergence(),
        spec=Spec(model="stratified", measure=measure, method=method, test="z", level=level, pi="none"),
        effects=eff, notes=tuple(notes), k_all=len(strata.study), association=association,
        breslow_day=homogeneity[0], tarone=homogeneity[1],
    )  # fmt: skip


def _heterogeneity(measure: str, strata: _Strata, eff: Effects, estimate: float) -> tuple[float, int]:
    """Q about the pooled effect, over the trials with events (metafor leaves 0/0 out for differences too)."""
    one, _, three, _ = (cell[strata.informative] for cell in strata.cells)
    events = one + three > 0
    if measure in ("OR", "RR", "RD"):
        events &= ~((strata.cells[1] + strata.cells[3])[strata.informative] == 0)
    if measure == "PETO":
        centre = np.average(eff.yi, weights=1 / eff.vi)
        return float(((eff.yi - centre) ** 2 / eff.vi).sum()), eff.k - 1
    inside = events
    q = float(((eff.yi - estimate)[inside] ** 2 / eff.vi[inside]).sum())
    return q, max(int(inside.sum()) - 1, 0)
