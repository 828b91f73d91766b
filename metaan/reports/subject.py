"""What a report is about: the results that were given, the model whose checks are made, and the rows behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.subgroup_result import SubgroupResult
from metaan.errors import InputError, OptionError
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.bayes_result import BayesResult
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.glmm import glmm
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult, Spec
from metaan.names import RECORD
from metaan.plot.forest_levels import as_pool

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Subject", "same_numbers", "subject_of", "usual_prior"]

_ARMS: Final = ("events_t", "total_t", "events_c", "total_c")
_TAKES: Final = (
    "report takes what pool, glmm, beta_binomial, clustered_binomial, mantel_haenszel, peto, multilevel, robust, "
    "subgroups or bayes returned, a dict of such results by name, or a table of trials"
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A result with what a report asks of it.

    Parameters
    ----------
    given : object
        What a forest plot draws: a result, subgroups, or several models by name.
    fit : PoolResult, RegressResult or BayesResult
        The model whose checks are made, on the analysis scale where there is one: of subgroups that of all studies, of
        several models the first.
    main : PoolResult or BayesResult
        The same with one pooled effect.
    """

    given: Any
    fit: Any
    main: PoolResult | BayesResult

    @property
    def spec(self) -> Spec:
        """What was asked of the model."""
        return self.main.spec

    @property
    def effects(self) -> Effects:
        """The studies."""
        return self.main.effects

    @property
    def measure(self) -> str:
        """Measure of the result, which a link of a GLMM may have changed."""
        return self.spec.measure

    @cached_property
    def shown(self) -> PoolResult | BayesResult:
        """The result on the display scale."""
        return self.main.back()

    @property
    def data(self) -> pd.DataFrame | None:
        """Rows behind the studies, one for each."""
        data = self.effects.data
        return data if data is not None and len(data) == self.effects.k else None

    @property
    def record(self) -> Mapping[str, Any] | None:
        """What `metaan.load` wrote on the rows; None where they come from elsewhere."""
        data = self.data
        return None if data is None or "study_id" not in data or "row" not in data else data.attrs.get(RECORD)

    @property
    def selection(self) -> Mapping[str, Any]:
        """Arguments of `metaan.load`."""
        return self.record["selection"] if self.record else {}

    @property
    def of_rates(self) -> bool:
        """Whether the effects are rates of one arm."""
        return KINDS[self.measure].scale == "rate"

    @property
    def of_lesions(self) -> bool:
        """Whether lesions are counted, by the rows of `metaan.load`."""
        return self.selection.get("unit") == "lesion"

    @property
    def subgroups(self) -> SubgroupResult | None:
        """The subgroups, where the result has any."""
        return self.given if isinstance(self.given, SubgroupResult) else None

    @property
    def models(self) -> Mapping[str, Any]:
        """Several models by name; empty for one."""
        return self.given if isinstance(self.given, Mapping) else {}

    @property
    def interval_name(self) -> str:
        """What intervals are called."""
        return "CrI" if isinstance(self.main, BayesResult) else "CI"

    @property
    def noun(self) -> str:
        """What is pooled, in the singular."""
        return "effect" if self.measure == "GEN" else KINDS[self.measure].shown.lower()

    @property
    def of_median(self) -> bool:
        """Whether the pooled rate is that of the median study."""
        if isinstance(self.main, BayesResult):
            return KINDS[self.measure].is_median
        return self.main.of_median and not isinstance(self.main, BetaBinomialResult)


def subject_of(given: Any, level: float | None) -> Subject:
    """Read a result, or fit the trials that were given."""
    import pandas as pd

    if isinstance(given, pd.DataFrame):
        return _of_trials(given, 0.95 if level is None else level)
    if level is not None:
        raise OptionError("level= is for trials, which are fitted here; a result has the level that it was fitted at.")
    if isinstance(given, Mapping):
        if not given:
            raise OptionError("res_or_trials is an empty dict: there is no model to report.")
        several = {str(name): _plain(one) for name, one in given.items()}
        first = next(iter(several.values()))
        return Subject(given=several, fit=first, main=_pooled(first))
    if isinstance(given, SubgroupResult):
        whole = _plain(given.overall)
        return Subject(given=given, fit=whole, main=_pooled(whole))
    fit = _plain(given)
    return Subject(given=fit, fit=fit, main=_pooled(fit))


def _plain(res: Any) -> Any:
    """The result on the analysis scale where it knows it."""
    return getattr(res, "analysis", None) or res


def _pooled(fit: Any) -> PoolResult | BayesResult:
    """The same as one pooled effect; models with moderators have none."""
    if isinstance(fit, (PoolResult, BayesResult)):
        return fit
    if isinstance(fit, (RegressResult, MultilevelResult)):
        return as_pool(fit)
    raise InputError(f"{_TAKES}, not {type(fit).__name__}.")


def _of_trials(trials: pd.DataFrame, level: float) -> Subject:
    """Fit what the counts of the table are for: rates of one arm, or odds ratios of two."""
    if trials.attrs.get("kind") is not None or ("row" in trials.columns and "scale" in trials.columns):
        raise OptionError(
            "res_or_trials is a table made from a result (leave_one_out, cumulative, forest_table). Report the result: "
            "its report holds such tables."
        )
    study = "study" if "study" in trials.columns else None
    res: Any
    if {"events", "total"} <= set(trials.columns):
        res = glmm("PLO", trials, events="events", total="total", study=study, level=level)
    elif set(_ARMS) <= set(trials.columns):
        res = glmm("OR", trials, study=study, level=level, **{name: name for name in _ARMS})
    else:
        raise InputError(
            f"The table has columns {', '.join(map(str, trials.columns))}. Trials need events and total (rates of one "
            f"arm) or {', '.join(_ARMS)}, and should have study; or fit a model and report its result."
        )
    return Subject(given=res, fit=res, main=res)


def usual_prior(res: BayesResult) -> bool:
    """Whether the prior of tau was the default of the measure."""
    return any(note.code == "tau-prior" and "the default" in note.text for note in res.notes)


def same_numbers(one: Any, other: Any) -> bool:
    """Whether two columns of counts are the same."""
    mine, theirs = (np.asarray(values, dtype=np.float64) for values in (one, other))
    return mine.shape == theirs.shape and bool(np.array_equal(mine, theirs, equal_nan=True))
