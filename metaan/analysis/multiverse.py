"""Every analysis of one question that can be defended, at once."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.executors import check_executor
from metaan.analysis.multiverse_choices import (
    DATA_CHOICES,
    MODEL_CHOICES,
    Models,
    combinations,
    models_asked,
    models_of_effects,
)
from metaan.analysis.multiverse_data import Columns, Rows, Sets, given_sets, of_effects
from metaan.analysis.multiverse_fits import NUMBERS, fits
from metaan.analysis.multiverse_result import MultiverseResult, check_answers
from metaan.errors import InputError, OptionError, shown
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["multiverse"]

_PATIENCE: Final = 1.0  # seconds before a progress bar appears


def multiverse(
    trials: Any,
    *,
    events: Any = "events",
    total: Any = "total",
    study: Any = None,
    models: Any = None,
    measures: Any = None,
    links: Any = None,
    methods: Any = None,
    tests: Any = None,
    corrections: Any = None,
    units: Any = None,
    overlaps: Any = None,
    counts: Any = None,
    confidence: Any = None,
    denominators: Any = None,
    icc: Any = None,
    level: float = 0.95,
    pi: str = "t",
    progress: bool = True,
    executor: Executor | None = None,
) -> MultiverseResult:
    """Pool rates in every way that can be defended, and see what of the answer survives.

    Parameters
    ----------
    trials : pandas.DataFrame or Effects
        A table from `metaan.load`, whose selection is varied too; a table of one's own with counts; or effects that
        are ready made, for which methods and tests are varied.
    events, total : str or array of shape (k,)
        Columns of the table.
    study : str or sequence of k labels, optional
        Study labels; the column "study" where there is one.
    models : str or sequence of str, optional
        "glmm", "beta-binomial", "normal" (inverse variance); all by default, as with every choice below.
    measures : str or sequence of str, optional
        Transformations for "normal": "PLO", "PAS", "PFT", "PR"; "PLN" if asked for.
    links : str or sequence of str, optional
        For "glmm": "logit", "probit", "cloglog"; "log" if asked for.
    methods : str or sequence of str, optional
        Estimators of tau2 for "normal": "REML", "ML", "PM", "DL", "SJ" by default, any of `metaan.pool` but GENQ.
    tests : str or sequence of str, optional
        Intervals: "t", "z", "hk", "hk-adhoc", "kr" ("normal"), "t", "z", "profile" (the two others).
    corrections : str or sequence of str, optional
        Continuity corrections, which are made where a study is at 0 or n and the transformation needs one: "only0" and
        "all" by default, "if0all".
    units, overlaps, counts, confidence : str or sequence of str, optional
        Levels of the arguments of `metaan.load` (`unit` ...), for a table from there. By default the unit of the table;
        its overlap policy with "prefer_largest" and "prefer_primary" ("keep" if asked for: it counts patients twice);
        "derived" and "printed" counts; "medium" and "high" confidence.
    denominators : str or sequence of str, optional
        Policies of `metaan.denominators`; "evaluable" and "itt" by default.
    icc : float or sequence of float, optional
        Correlations of the response of two lesions of one patient, in [0, 1], for `metaan.design_effect`, with the
        median number of lesions per patient where a study does not tell. By default lesions count as independent.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "none"}
        Prediction interval; that of the beta-binomial model is its own.
    progress : bool, default True
        Show a bar on a terminal when it takes longer than a second.
    executor : concurrent.futures.Executor, optional
        Who does the work, a task for each call of a kernel; here by default. The numbers do not depend on it.

    Returns
    -------
    MultiverseResult
        `to_frame` has a row for each analysis, `excluded` the combinations left out with the reason; `summary`,
        `importance` and `curve` say what the analyses agree on and which choice matters.

    Raises
    ------
    InputError, DataError
        As `metaan.effect_size`; choices of the data for rows that are not, or no longer, as `metaan.load` gave them.
    OptionError
        An unknown level; choices that do not apply; no combination that can be defended.

    Notes
    -----
    The numbers are those of `pool`, `glmm` and `beta_binomial` with the options of the row, after `back`. Analyses
    that share model, estimator and interval are one call of a batched kernel, whatever their data and transformation.
    An analysis without an answer is a row of NaN with the reason. Left out are: raw rates where a study is at 0 or n,
    log rates where one is at n; Hartung-Knapp with a common effect; Kenward-Roger without REML; estimators that are
    one and the same (PM, EB, DLIT, SJIT); selections with the same rows, so that no analysis counts twice.

    The models ask different questions: a GLMM and transformed rates estimate the rate of the median study, the
    beta-binomial model and raw rates the mean over studies. Log rates, the geometric mean, are left to those who ask
    for them: inverse variances grow with the rate, which draws the estimate up. Lesions and patients are never pooled
    together and are summed up apart. Shares of analyses are no probabilities: analyses are neither drawn at random nor
    independent.

    References
    ----------
    Steegen S et al. (2016). Perspect Psychol Sci 11:702-712. doi:10.1177/1745691616658637
    Simonsohn U, Simmons JP, Nelson LD (2020). Nat Hum Behav 4:1208-1214. doi:10.1038/s41562-020-0912-z

    Examples
    --------
    >>> import pandas as pd
    >>> from metaan import multiverse
    >>> trials = pd.DataFrame({"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]})
    >>> result = multiverse(trials, measures=["PLO", "PAS"], methods=["REML", "DL"], tests=["z", "hk", "profile"])
    >>> result.analyses
    20
    >>> result.summary(threshold=0.1)[["analyses", "lowest", "median", "highest", "share_above"]].round(3)
       analyses  lowest  median  highest  share_above
    0        20   0.083   0.096    0.118          0.5
    """
    started = time.monotonic()
    check_executor(executor)
    data = {
        "units": units, "overlaps": overlaps, "counts": counts, "confidence": confidence, "denominators": denominators,
        "icc": icc,
    }  # fmt: skip
    model = {
        "models": models, "measures": measures, "links": links, "methods": methods, "tests": tests,
        "corrections": corrections,
    }  # fmt: skip
    asked, sets = _read(trials, Columns(events, total, study), model, data, level, pi)
    plan, excluded = _plan(asked, sets)
    table = _table(plan, sets.sets, asked, _bar(len(plan), started, progress), executor)
    check_answers(table)
    scale = KINDS[asked.measures[0]].scale if isinstance(trials, Effects) else "rate"
    return MultiverseResult(
        table=table, excluded=excluded, twins=sets.twins, scale=scale, level=asked.level, pi=asked.pi,
        notes=sets.notes + asked.notes,
    )  # fmt: skip


def _read(
    trials: Any, columns: Columns, model: dict[str, Any], data: dict[str, Any], level: float, pi: str
) -> tuple[Models, Sets]:
    """Choices of the model, and the sets of studies that those of the data lead to."""
    import pandas as pd

    if isinstance(trials, Effects):
        asked = models_of_effects(trials.measure, level=level, pi=pi, **model | data)
        return asked, of_effects(trials)
    if not isinstance(trials, pd.DataFrame):
        raise InputError(f"multiverse takes a DataFrame or an Effects record, not {type(trials).__name__}.")
    if (
        isinstance(columns.events, str)
        and columns.events == "events"
        and "events" not in trials.columns
        and "events_t" in trials.columns
    ):
        raise InputError("The table has two arms: make effects of it (effect_size('OR', ...)) and give those.")
    if columns.study is None and "study" in trials.columns:
        columns = Columns(columns.events, columns.total, "study")
    asked = models_asked(level=level, pi=pi, **model)
    return asked, given_sets(trials, columns, data)


def _plan(asked: Models, sets: Sets) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Analyses with their set, and the combinations that are left out with the reason."""
    import pandas as pd

    lines, out = [], []
    for place, rows in enumerate(sets.sets):
        none, every = bool((rows.events == 0).any()), bool((rows.events == rows.total).any())
        for one in combinations(asked, none=none, every=every):
            choices = rows.choices | dict(zip(MODEL_CHOICES, one, strict=False))
            if one.reason and not rows.failed:
                out.append(choices | {"reason": one.reason})
            elif not one.reason:
                lines.append({"set": place} | choices)
    for choices, other in sets.twins:
        reason = ", ".join(f"{name}={shown(value)}" for name, value in other.items() if choices[name] != value)
        out.append(choices | dict.fromkeys(MODEL_CHOICES, "any") | {"reason": f"the same rows as {reason}"})
    names = [name for name in DATA_CHOICES if name in sets.sets[0].choices]
    if not lines:
        raise OptionError(f"No combination can be defended. The first was left out: {out[0]['reason']}.")
    plan = pd.DataFrame(lines, columns=["set", *names, *MODEL_CHOICES])
    return plan, pd.DataFrame(out, columns=[*names, *MODEL_CHOICES, "reason"])


def _bar(total: int, started: float, progress: bool) -> Any:
    """Progress bar that appears on a terminal once the call has taken longer than a second."""
    from tqdm import tqdm

    shown = progress and sys.stderr.isatty()
    delay = max(0.0, _PATIENCE - (time.monotonic() - started))
    return tqdm(
        total=total, desc="multiverse", unit=" analyses", delay=delay, disable=not shown, leave=False, file=sys.stderr
    )


def _table(
    plan: pd.DataFrame, sets: tuple[Rows, ...], asked: Models, bar: Any, executor: Executor | None
) -> pd.DataFrame:
    """The analyses with their results."""
    import pandas as pd

    with bar:
        found = fits(plan, sets, level=asked.level, pi=asked.pi, told=bar.update, executor=executor)
    own = plan["set"].to_numpy()
    sizes = {"k": [rows.k for rows in sets], "n": [float(np.sum(rows.total)) for rows in sets]}
    counted = {name: np.array(values)[own] for name, values in sizes.items()}
    columns = plan.drop(columns="set").assign(**counted)
    return pd.concat([columns, found[[*NUMBERS, "converged", "notes", "reason"]]], axis=1)
