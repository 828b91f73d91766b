"""The same fit by other programs: PyMARE and statsmodels as witnesses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import ndtri, stdtrit

from metaan.core.linear import Design, log_likelihood
from metaan.errors import InputError, Note, OptionError
from metaan.measures.pymare_api import pymare
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.stratified import StratifiedResult
from metaan.models.text import number
from metaan.records import Table
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]

_CORRECTION: Final = {"z": "wald", "hk": "knapp-hartung", "hk-adhoc": "knapp-hartung-conservative"}
_CLOSE: Final = 1e-6  # relative, or in standard errors


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison(Table):
    """The same model by several programs.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each program and coefficient: program, term, estimate, se, ci_low, ci_high, tau2, I2 and difference,
        the distance of the estimate from metaan's in metaan's standard errors.
    notes : tuple of Note
        What differs, and why.
    """

    table: pd.DataFrame
    notes: tuple[Note, ...]

    @property
    def agree(self) -> bool:
        """Whether nothing differs by more than 1e-6."""
        return not self.notes

    def _headline(self) -> str:
        return f"The same model by several programs, {'which agree' if self.agree else 'which do not agree'} to 1e-6"

    def __str__(self) -> str:
        text = self.table.dropna(axis=1, how="all").to_string(
            index=False, float_format=lambda v: number(0.0 if abs(v) < _CLOSE**2 else v, 6)
        )
        tail = [f"- {note}" for note in self.notes] or ["All agree to 1e-6."]
        key = "(difference: of the estimate from metaan's, in metaan's standard errors)"
        return "\n".join([text, key, *tail])


@dataclass(frozen=True)
class _Witness:
    """What another program says: coefficients, standard errors, limits, tau2 and I2 (per cent)."""

    program: str
    estimate: FloatArray
    se: FloatArray
    low: FloatArray
    high: FloatArray
    tau2: float = math.nan
    i2: float = math.nan


def compare(res: PoolResult | RegressResult) -> Comparison:
    """Fit the same model by PyMARE and statsmodels, and say what differs and why.

    Parameters
    ----------
    res : PoolResult, RegressResult or StratifiedResult
        From `metaan.pool` (methods CE, DL, HE, ML, REML, PM, EB), `metaan.regress` (CE, DL, HE, ML, REML) or
        `metaan.mantel_haenszel` (OR).

    Returns
    -------
    Comparison
        Its `table` has one row for each program and coefficient; `notes` explain every difference beyond 1e-6.

    Raises
    ------
    InputError
        No fitted model, or one on the display scale.
    OptionError
        A model or an estimator that neither program has.

    Notes
    -----
    PyMARE is asked for the interval of `res` (Wald, Knapp-Hartung or its conservative form), its default being
    Knapp-Hartung; its I2, and that of statsmodels, is the Q form. statsmodels' DerSimonian-Laird is not truncated at 0.

    Examples
    --------
    >>> from metaan import compare, effects, pool
    >>> both = compare(pool(effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01]), method="DL", test="z"))
    >>> list(both.table["program"])
    ['metaan', 'PyMARE', 'statsmodels']
    """
    if not isinstance(res, (PoolResult, RegressResult)):
        raise InputError(f"compare takes a fitted model, not {type(res).__name__}.")
    if isinstance(res, PoolResult) and res.scale != "analysis":
        raise InputError("compare takes results on the analysis scale: the result before back().")
    witnesses = _witnesses(res)
    if not witnesses:
        raise OptionError(
            f"Neither PyMARE nor statsmodels fits this: model {res.spec.model!r}, method {res.spec.method!r}."
        )
    ours = _ours(res)
    with np.errstate(divide="ignore", invalid="ignore"):  # a standard error of 0
        return Comparison(
            table=_table(res, [ours, *witnesses]),
            notes=tuple(note for w in witnesses for note in _differences(res, ours, w)),
        )


def _witnesses(res: PoolResult | RegressResult) -> list[_Witness]:
    if isinstance(res, MultilevelResult) or res.spec.model in ("glmm", "beta-binomial", "clustered"):
        return []
    if isinstance(res, StratifiedResult):
        return [_tables(res)] if res.spec.measure == "OR" else []
    found = [_pymare(res)] if res.spec.method in ("CE", "DL", "HE", "ML", "REML") else []
    if isinstance(res, PoolResult) and res.spec.method in ("CE", "DL", "PM", "EB"):
        found.append(_statsmodels(res))
    if isinstance(res, RegressResult):
        found.append(_weighted(res))
    return found


def _ours(res: PoolResult | RegressResult) -> _Witness:
    estimate, se, low, high = (np.atleast_1d(getattr(res, name)) for name in ("estimate", "se", "ci_low", "ci_high"))
    tau2, i2 = (math.nan, math.nan) if isinstance(res, StratifiedResult) else (res.tau2, res.I2)
    return _Witness("metaan", estimate, se, low, high, tau2, i2)


def _design(res: PoolResult | RegressResult) -> FloatArray:
    return res.moderators.matrix if isinstance(res, RegressResult) else np.ones((res.k, 1))


def _pymare(res: PoolResult | RegressResult) -> _Witness:
    estimators = pymare("estimators")
    correction = _CORRECTION.get(res.spec.test, "wald")
    how: dict[str, Any] = {"weight_scheme": "individual", "small_sample_correction": correction}
    makers: dict[str, Callable[[], Any]] = {
        "CE": lambda: estimators.WeightedLeastSquares(tau2=0.0, **how),
        "DL": lambda: estimators.DerSimonianLaird(**how),
        "HE": lambda: estimators.Hedges(**how),
        "ML": lambda: estimators.VarianceBasedLikelihoodEstimator(method="ml", **how),
        "REML": lambda: estimators.VarianceBasedLikelihoodEstimator(method="reml", **how),
    }
    eff = res.effects
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pymare().Dataset(y=eff.yi, v=eff.vi, X=_design(res), add_intercept=False)
        summary = makers[res.spec.method]().fit_dataset(data).summary()
        stats = summary.get_fe_stats(alpha=1 - res.spec.level)
        i2 = float(np.ravel(summary.get_heterogeneity_stats()["I^2"])[0])
    estimate, se, low, high = (
        np.asarray(stats[name], dtype=np.float64)[:, 0] for name in ("est", "se", "ci_l", "ci_u")
    )
    return _Witness("PyMARE", estimate, se, low, high, float(np.ravel(summary.tau2)[0]), i2)


def _statsmodels(res: PoolResult) -> _Witness:
    from statsmodels.stats.meta_analysis import combine_effects

    eff, spec = res.effects, res.spec
    more = {"atol": 1e-9, "maxiter": 500} if spec.method in ("PM", "EB") else {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = combine_effects(
            eff.yi, eff.vi, method_re="iterated" if more else "chi2", row_names=list(eff.study),
            use_t=spec.test != "z", alpha=1 - spec.level, **more,
        )  # fmt: skip
    kind = "fe" if spec.method == "CE" else "re"
    scaled = "_hksj" if spec.test == "hk" else ""
    estimate, se = (float(getattr(found, name)) for name in (f"mean_effect_{kind}", f"sd_eff_w_{kind}{scaled}"))
    tail = (1 + spec.level) / 2
    half = se * float(ndtri(tail) if spec.test == "z" else stdtrit(res.k - 1.0, tail))
    tau2 = 0.0 if kind == "fe" else float(found.tau2)
    return _one("statsmodels", estimate, se, half, tau2, 100 * float(found.i2))


def _weighted(res: RegressResult) -> _Witness:
    """statsmodels' WLS at the tau2 of `res`: standard errors with scale 1, or that of the residuals (Knapp-Hartung)."""
    import statsmodels.api as sm

    fit = sm.WLS(res.effects.yi, _design(res), weights=1 / (res.effects.vi + res.tau2)).fit()
    scale = fit.scale if res.spec.test == "hk" else 1.0
    se = np.sqrt(np.diagonal(fit.normalized_cov_params) * scale)
    df, tail = float(res.df[0]), (1 + res.spec.level) / 2
    half = se * float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))
    return _Witness("statsmodels WLS", fit.params, se, fit.params - half, fit.params + half, res.tau2)


def _tables(res: StratifiedResult) -> _Witness:
    from statsmodels.stats.contingency_tables import StratifiedTable

    of = res.effects.inputs or {}
    a, c = of["events_t"], of["events_c"]
    cells = np.array([[a, of["total_t"] - a], [c, of["total_c"] - c]])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = StratifiedTable(cells)
        estimate, se = float(found.logodds_pooled), float(found.logodds_pooled_se)
    half = se * float(ndtri((1 + res.spec.level) / 2))
    return _one("statsmodels StratifiedTable", estimate, se, half)


def _one(
    program: str, estimate: float, se: float, half: float, tau2: float = math.nan, i2: float = math.nan
) -> _Witness:
    """One coefficient, limits at `half` from it."""
    value, spread = np.array([estimate]), np.array([se])
    return _Witness(program, value, spread, value - half, value + half, tau2, i2)


def _table(res: PoolResult | RegressResult, rows: list[_Witness]) -> pd.DataFrame:
    import pandas as pd

    terms = res.names if isinstance(res, RegressResult) else ("pooled",)
    ours = rows[0]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "program": w.program, "term": terms, "estimate": w.estimate, "se": w.se, "ci_low": w.low,
                    "ci_high": w.high, "tau2": w.tau2, "I2": w.i2,
                    "difference": (w.estimate - ours.estimate) / ours.se,
                }
            )
            for w in rows
        ],
        ignore_index=True,
    )  # fmt: skip


def _differences(res: PoolResult | RegressResult, ours: _Witness, w: _Witness) -> list[Note]:
    notes = []

    def differs(a: float, b: float, unit: float) -> bool:
        return bool(np.isfinite(b) and abs(a - b) > _CLOSE * max(abs(a), unit))

    unit = float(np.mean(res.effects.vi))
    if differs(ours.tau2, w.tau2, 1e-3 * unit):
        notes.append(Note("tau2", f"{w.program} has tau2 = {w.tau2:.8g} for {ours.tau2:.8g}: {_why_tau2(res, w)}."))
    elif (np.abs(w.estimate - ours.estimate) > _CLOSE * ours.se).any():
        notes.append(Note("estimate", f"{w.program} has another estimate at the same tau2."))
    if (np.abs(w.se / ours.se - 1) > _CLOSE).any() and not any(note.code == "tau2" for note in notes):
        notes.append(
            Note("se", f"{w.program} has no standard error of test={res.spec.test!r}: its usual one is shown.")
        )
    if differs(ours.i2, w.i2, 0.01):
        q, df = (res.QE, res.QE_df) if isinstance(res, RegressResult) else (res.Q, res.Q_df)
        form = 100 * (1 - df / q) if q > 0 else 0.0
        known = "of another definition"
        if abs(max(form, 0.0) - w.i2) < 1e-4:
            known = "the Q form, (Q - df)/Q"
        elif abs(form - w.i2) < 1e-4 * abs(form):
            known = "the Q form, not truncated at 0"
        notes.append(Note("I2", f"{w.program} has I2 = {w.i2:.4g}% for {ours.i2:.4g}%: it is {known}."))
    return notes


def _why_tau2(res: PoolResult | RegressResult, w: _Witness) -> str:
    if w.tau2 < 0:
        return "it is not truncated at 0"
    if res.spec.method in ("ML", "REML"):
        data = Design(res.effects.yi, res.effects.vi, _design(res))
        heights = [float(log_likelihood(data, t, restricted=res.spec.method == "REML")) for t in (res.tau2, w.tau2)]
        drop = heights[0] - heights[1]
        return "its search ended a little earlier" if drop < 1e-8 else f"its log-likelihood is lower by {drop:.2g}"
    return "it stopped its iteration earlier, or truncates differently"
