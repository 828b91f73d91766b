"""Pooling within subgroups, the test between them and their contrasts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np
from scipy.special import chdtrc, fdtrc

from metaan.analysis.subgroup_result import SubgroupResult
from metaan.core.coefficients import JointTest, joint_test
from metaan.errors import DataError, InputError, Note, OptionError, listed, shown
from metaan.measures.correction import as_data
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes
from metaan.models.design import group_values, rows_of, take
from metaan.models.glmm import glmm_of
from metaan.models.pool import fit_normal, pool_spec
from metaan.models.regress import regress
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult, Spec
from metaan.validate import Option

__all__ = ["MODEL", "TAU2", "subgroups"]

TAU2: Final = Option(
    "tau2", {"separate": "each subgroup its own", "common": "one for all, from their residuals"}, "separate"
)  # fmt: skip
MODEL: Final = Option(
    "model", {"normal": "inverse variance, as metaan.pool", "glmm": "binomial-normal, as metaan.glmm"}, "normal"
)  # fmt: skip
_COLUMN: Final = "subgroup"


def subgroups(
    eff: Effects,
    by: Any,
    *,
    tau2: str = "separate",
    model: str = "normal",
    method: str | None = None,
    test: str | None = None,
    level: float = 0.95,
    pi: str = "t",
) -> SubgroupResult:
    """Pool each subgroup, test whether they differ, and offer their contrasts.

    Parameters
    ----------
    eff : Effects
    by : str or sequence of k labels
        Column of the data behind the effects, or the subgroup of each study.
    tau2 : {"separate", "common"}
        Each subgroup its own between-study variance (default), or one for all of them.
    model : {"normal", "glmm"}
        `metaan.pool`, or `metaan.glmm` of the counts (measures PLO, OR and IRR; separate tau2).
    method : str, optional
        Estimator of tau2, REML by default. Not for glmm.
    test : str, optional
        As in `metaan.pool` ("hk" by default) or `metaan.glmm` ("t").
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    pi : str, default "t"
        Prediction interval of each subgroup.

    Returns
    -------
    SubgroupResult
        `groups` (a `PoolResult` for each subgroup, in order of appearance), `overall`, `Q_between` with Q_df, Q_df2
        and Q_pvalue, and `contrasts()`.

    Raises
    ------
    InputError
        `eff` is no Effects record, or the column is not there.
    OptionError
        Unknown option, or one that the model cannot honour.
    DataError
        A study without a subgroup, or fewer than two subgroups.

    Notes
    -----
    Separate: with w_g = 1/se_g^2, the standard errors being those of `test`, and mu the weighted mean, Q_between =
    sum w_g (mu_g - mu)^2 against chi2(G - 1) for ``test="z"``. For t-type tests, whose standard errors have few degrees
    of freedom df_g, Q_between is Welch's F, Q/(G - 1)/[1 + 2 (G - 2) L/(G^2 - 1)] with (G^2 - 1)/(3 L) second degrees
    of freedom, L = sum (1 - w_g/sum w)^2/df_g; against chi2 the Hartung-Knapp statistic rejects far too often (19 % at
    a nominal 5 % with two studies a group). A subgroup of one study has no tau2 of its own: it borrows the common one,
    or stays out of the test (``model="glmm"``), noted. Common: the subgroups are the coefficients of a meta-regression
    on them, and Q_between its joint test that they are equal (F for t-type tests).
    Groups of single-arm studies were not randomised against one another: a difference may come from
    their patients. The result says so.

    References
    ----------
    Borenstein M, Higgins JPT (2013). Prev Sci 14:134-143. doi:10.1007/s11121-013-0377-7
    Welch BL (1951). Biometrika 38:330-336. doi:10.1093/biomet/38.3-4.330
    Rubio-Aparicio M et al. (2020). J Exp Educ 88:658-678. doi:10.1080/00220973.2018.1561404

    Examples
    --------
    >>> from metaan import effects, subgroups
    >>> eff = effects([0.1, 0.3, 0.2, 0.8, 0.7, 0.9], [0.02] * 6)
    >>> sub = subgroups(eff, by=["a", "a", "a", "b", "b", "b"], test="z")
    >>> round(sub.Q_between, 3), sub.Q_df, round(sub.groups["b"].estimate, 3)
    (27.0, 1, 0.8)
    """
    if not isinstance(eff, Effects):
        raise InputError(f"subgroups takes an Effects record, not {type(eff).__name__}: make one with effect_size.")
    TAU2.check(tau2)
    if MODEL.check(model) != "glmm":
        eff = as_data(eff)
    labels = _labels(eff, by)
    names = tuple(dict.fromkeys(labels))
    if len(names) < 2:
        raise DataError(f"There is one subgroup, {names[0]!r}; subgroups needs at least two.")
    positions = {name: np.flatnonzero([label == name for label in labels]) for name in names}
    column = by if isinstance(by, str) else _COLUMN
    if model == "glmm":
        if tau2 == "common" or method is not None:
            raise OptionError("model='glmm' has separate tau2 by maximum likelihood; leave tau2 and method out.")
        return _exact(eff, positions, column, "t" if test is None else test, level, pi)
    if pi == "bootstrap" or method == "GENQ":
        raise OptionError("subgroups does not take pi='bootstrap' or method='GENQ'.")
    spec = pool_spec(eff.measure, "REML" if method is None else method, "hk" if test is None else test, level, pi)
    if pi == "kr" and test != "kr":
        raise OptionError("pi='kr' needs test='kr'.")
    return (_separate if tau2 == "separate" else _common)(eff, positions, column, spec)


def _labels(eff: Effects, by: Any) -> tuple[str, ...]:
    if isinstance(by, str):
        rows = rows_of(eff, "subgroups")
        if by not in rows.columns:
            raise InputError(
                f"by={shown(by)} is not a column of the data. Columns: {', '.join(map(str, rows.columns))}."
            )
        by = rows[by]
    values = group_values(eff, by, "by")
    names = tuple(map(str, values))
    if len(set(names)) < len(set(values)):
        raise DataError("Two subgroups have labels that read alike, such as 1 and '1': rename one.")
    return names


def _shared(eff: Effects, positions: dict[str, Any], spec: Spec) -> RegressResult:
    """Regression on the subgroups without an intercept: its tau2 is the common one."""
    import pandas as pd

    label = np.empty(eff.k, dtype=object)
    for name, index in positions.items():
        label[index] = name
    frame = pd.DataFrame({_COLUMN: pd.Categorical(label, categories=list(positions))})
    bare = dataclasses.replace(eff, data=frame, notes=())
    return regress(
        bare, f"~ 0 + {_COLUMN}", method=spec.method, test=spec.test, level=spec.level, pi=spec.pi
    )  # fmt: skip


def _separate(eff: Effects, positions: dict[str, Any], column: str, spec: Spec) -> SubgroupResult:
    single = tuple(name for name, index in positions.items() if len(index) == 1)
    notes: tuple[Note, ...] = ()
    borrowed: float | None = None
    if single and spec.method != "CE":
        if len(single) < len(positions):
            z = dataclasses.replace(spec, test="z", pi="none")
            borrowed = _shared(eff, positions, z).tau2
        text = "One study has no tau2 of its own"
        what = f"the common one, {borrowed:.4g}, is used" if borrowed is not None else "0 is used"
        interval = "" if spec.test == "z" else ", with the normal interval"
        notes = (Note("single-study-group", f"{text}: {what} for {listed(single)}{interval}.", single),)
    groups = {}
    for name, index in positions.items():
        own = fit_normal(take(eff, index), spec, tau2=borrowed if name in single else None)
        if name in single and borrowed is not None:
            own = dataclasses.replace(own, notes=tuple(note for note in own.notes if note.code != "one-study"))
        groups[name] = own
    overall = fit_normal(eff, spec)
    test, more = _between(groups)
    return _result(eff, column, "separate", groups, overall, test, notes + more)


def _between(groups: dict[str, PoolResult]) -> tuple[JointTest, tuple[Note, ...]]:
    """Cochran's Q, or Welch's F, over the subgroups with a finite estimate and a standard error of their own."""
    exact = any(g.spec.model == "glmm" for g in groups.values())
    usable = {
        name: g
        for name, g in groups.items()
        if math.isfinite(g.estimate) and g.se > 0 and math.isfinite(g.se) and not (exact and g.k == 1)
    }
    out = tuple(name for name in groups if name not in usable)
    why = "one study, whose tau2 is not known, or " if exact else ""
    text = f"Not in the test between subgroups ({why}no finite estimate with a standard error): {listed(out)}."
    notes = (Note("not-in-test", text, out),) if out else ()
    if len(usable) < 2:
        return JointTest(math.nan, 0, math.inf, math.nan), notes
    mu = np.array([g.estimate for g in usable.values()])
    w = 1 / np.array([g.se for g in usable.values()]) ** 2
    q, m = float(w @ (mu - np.average(mu, weights=w)) ** 2), len(usable)
    spread = float(((1 - w / w.sum()) ** 2 / np.array([g.df for g in usable.values()])).sum())
    if spread == 0:
        return JointTest(q, m - 1, math.inf, float(chdtrc(m - 1, q))), notes
    f, df2 = q / (m - 1) / (1 + 2 * (m - 2) / (m**2 - 1) * spread), (m**2 - 1) / (3 * spread)
    return JointTest(f, m - 1, df2, float(fdtrc(m - 1, df2, f))), notes


def _common(eff: Effects, positions: dict[str, Any], column: str, spec: Spec) -> SubgroupResult:
    fit = _shared(eff, positions, spec)
    groups = {}
    for i, (name, index) in enumerate(positions.items()):
        z = dataclasses.replace(spec, test="z")
        alone = fit_normal(take(eff, index), z, tau2=fit.tau2)
        own: dict[str, Any] = {
            field: float(getattr(fit, field)[i])
            for field in ("estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "log_pvalue", "df")
        }
        row = fit.predict({_COLUMN: name}).iloc[0]
        own |= {"pi_low": float(row["pi_low"]), "pi_high": float(row["pi_high"])}
        notes = tuple(note for note in alone.notes if note.code not in _OF_TAU2)
        shared = dataclasses.replace(spec, formula=fit.spec.formula)  # whose degrees of freedom the intervals have
        groups[name] = dataclasses.replace(alone, **own, spec=shared, notes=notes)
    differences = np.column_stack([-np.ones(len(groups) - 1), np.eye(len(groups) - 1)])
    test = joint_test(fit.estimate, fit.inference, differences)
    notes = tuple(note for note in fit.notes if note.code != "few-studies")
    return _result(eff, column, "common", groups, fit_normal(eff, spec), test, notes, fit)


_OF_TAU2: Final = ("tau2-zero", "one-study", "no-pi", "pi-narrow")


def _exact(eff: Effects, positions: dict[str, Any], column: str, test: str, level: float, pi: str) -> SubgroupResult:
    options = {"test": test, "level": level, "pi": pi}
    groups: dict[str, PoolResult] = {name: glmm_of(take(eff, index), **options) for name, index in positions.items()}
    between, notes = _between(groups)
    return _result(eff, column, "separate", groups, glmm_of(eff, **options), between, notes)


def _result(
    eff: Effects, column: str, tau2: str, groups: dict[str, PoolResult], overall: PoolResult, test: JointTest,
    notes: tuple[Note, ...], fit: RegressResult | None = None,
) -> SubgroupResult:  # fmt: skip
    caution: tuple[Note, ...] = ()
    if KINDS[eff.measure].scale in ("rate", "incidence") or eff.measure == "MN":
        text = "The subgroups are single arms, not randomised against one another: their patients may differ as well"
        caution = (Note("not-randomised", f"{text} as their treatment."),)
    exact = overall.spec.model == "glmm"  # which corrects nothing
    general = tuple(note for note in eff.notes if not (exact and note.code == "zero-cell")) + data_notes(eff.data)
    said = {note.code for note in general + notes} | {"no-pi"}
    if not exact:
        said.add("one-study")  # said of all such subgroups at once
    own = tuple(
        dataclasses.replace(note, text=f"{name}: {note.text}")
        for name, group in groups.items()
        for note in group.notes
        if note.code not in said
    )
    return SubgroupResult(
        by=column, tau2=tau2, groups=groups, overall=overall, k=eff.k, Q_between=test.statistic, Q_df=test.df,
        Q_df2=test.df2, Q_pvalue=test.pvalue, spec=groups[next(iter(groups))].spec, effects=eff,
        notes=general + notes + own + caution, regression=fit,
    )  # fmt: skip
