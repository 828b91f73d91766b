"""What a forest plot shows, as a table: one row for each line of the figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Unpack

import numpy as np

from metaan.analysis.subgroup_result import SubgroupResult
from metaan.errors import OptionError, listed
from metaan.models.bayes_result import BayesResult
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.plot.checked import SCALES, checked
from metaan.plot.forest_alt import in_words
from metaan.plot.forest_bayes import of_bayes
from metaan.plot.forest_density import density_of
from metaan.plot.forest_extra import add_columns, ranked
from metaan.plot.forest_groups import of_subgroups, put_in_groups
from metaan.plot.forest_levels import as_pool, levels_line
from metaan.plot.forest_models import of_models
from metaan.plot.forest_options import Marks, add_marks, add_rob
from metaan.plot.forest_pooled import of_pool
from metaan.plot.forest_refits import is_refits, of_refits
from metaan.plot.forest_rows import COLUMNS, Shown, assemble
from metaan.validate import forbid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "ROWS", "check_table", "forest_table", "is_table"]

ROWS: Final = ("group", "study", "pooled", "prediction", "text", "statistics", "note")
_INTERVAL: Final = "clopper-pearson"
_MADE_BY: Final = (
    "pool, glmm, beta_binomial, clustered_binomial, mantel_haenszel, peto, multilevel, robust, subgroups, bayes, "
    "leave_one_out or cumulative returned, or a dict of such results by name"
)
_PREDICTION: Final = (True, False, "bar", "band", "density")


class _Ask(NamedTuple):
    """What the rows of a result are to hold."""

    interval: str
    prediction: bool
    blup: bool | None


def forest_table(
    res: PoolResult | RegressResult | SubgroupResult | BayesResult | pd.DataFrame | Mapping[str, Any],
    *,
    sort: Any = None,
    group: Any = None,
    interval: str = _INTERVAL,
    prediction: bool | str = True,
    footnote: bool = True,
    blup: bool | None = None,
    left: Any = None,
    right: Any = None,
    rob: pd.DataFrame | None = None,
    **marks: Unpack[Marks],
) -> pd.DataFrame:
    """Table that a forest plot draws: one row for each line of the figure.

    Parameters
    ----------
    res : PoolResult, MultilevelResult, SubgroupResult, BayesResult, DataFrame or dict
        What `metaan.pool`, `glmm`, `beta_binomial`, `clustered_binomial`, `mantel_haenszel`, `peto`, `multilevel` (of
        a mean alone), `robust`, `subgroups` or `bayes` returned, on either scale; the table of `leave_one_out` or
        `cumulative`; or a dict of several results of the same studies, ``{"GLMM": one, "Beta-binomial": two}``.
    sort : str or list of labels, optional
        Order of the studies: "label" (alphabetical), "estimate" (lowest first), "weight" or "total" (largest first), a
        column of the data behind the effects (lowest first), or every label once, in the order wished. By default as
        they were given. Within subgroups; not for `cumulative`.
    group : str or sequence of k labels, optional
        Column of the data, or a label for each study: the studies stand under headings, which are not pooled. For
        results of one group.
    interval : str, default "clopper-pearson"
        Interval of each study's own rate, as in ``res.studies(interval=...)``. Only where counts are known.
    prediction : bool or {"bar", "band", "density"}, default True
        Give the prediction interval a row, when there is one. "bar" is True; "band" shades it over the whole plot;
        "density" adds the distribution of true effects that is behind it. The last is for one pooled effect.
    footnote : bool, default True
        Append the notes: which intervals are shown, cautions of the data, decisions of the model.
    blup : bool, optional
        Add the shrunken effects of the studies. By default only for `bayes`.
    left, right : list of str, or dict, optional
        Columns beside the plot, in their order: columns of this table (study, events, total, estimate, weight, and
        those of the arms), of the data behind the effects or of the table of refits; a dict gives headings,
        ``{"Dose": "dose_mg"}``, and takes values as well, one for each study in the order of the result,
        ``{"Dose": [4, 8, 2]}``. "estimate" stands for estimate and interval.
    rob : DataFrame, optional
        Risk of bias: one row for each study (labels as index, or in a column "study"), one column for each domain.
        Judgements of RoB 2 (low, some concerns, high), ROBINS-I (low, moderate, serious, critical) or "no information"
        in any case of letters; blank where none was made.
    **marks
        ``rob_levels`` : dict of judgement to colour, for judgements of another tool, best first. ``favours`` : two
        texts, under the left and the right of the line of no effect. ``reference`` : where a solid line stands, in
        place of no effect. ``bands`` : list of (low, high, text), regions to shade. Places are on the scale of the
        axis: rates as proportions, ratios as ratios.

    Returns
    -------
    pandas.DataFrame
        Columns ``row`` (what the line is: "group", a heading; "study"; "pooled"; "prediction"; "text", inside the
        plot; "statistics" and "note", under it), ``study`` (its text), ``events``, ``total``, ``estimate``, ``low``,
        ``high`` (rates as proportions, effects as given), ``weight`` (%), ``level`` (of the interval) and ``scale``
        (of the axis: "rate", "ratio", "amount" or "effect"). What a line lacks is NaN, or blank where it is text.
        Where there are any: ``group`` (subgroup of the line, blank for all studies), the columns of the arms
        (``events_t``, ``total_t``, ``events_c`` ..., ``mean_t``, ``sd_t``, ``n_t`` ..., ``time``), ``blup``,
        ``blup_low``, ``blup_high``, ``tau2`` and ``I2`` of refits, ``rob: D1`` ..., and the columns asked for.

        ``attrs``, where there is something to say: ``xlabel``, label of the axis; ``left``, ``right``, names of columns
        in their order; ``headings``, by column; ``spans``, columns under one heading; ``interval``, what intervals are
        called if not CI; ``favours``, ``reference``, ``bands``, ``rob_levels``; ``prediction`` ("band"); ``density``,
        places and densities; and ``alt``, the plot in words.

    Raises
    ------
    OptionError
        A result without a single pooled effect; models of different studies; an unknown option, column, judgement or
        study; an option that the result has no use for.

    See Also
    --------
    metaan.plot.forest : Draw it.

    Notes
    -----
    Weights of subgroups are those of the model of all studies. Several models share the weights of the first, which a
    note says, where they differ. The density of true effects is Student's t or the normal distribution about the
    estimate that the prediction interval comes from (its uncertainty included; of a beta-binomial model the fitted
    beta distribution, of a posterior the predictive one), on the scale of the axis: for ratios that of the logarithm.
    Shrunken effects have normal limits on the analysis scale, estimate and tau2 taken as known; those of `bayes` are
    posterior medians with credible limits.

    References
    ----------
    Sterne JAC et al. (2019). RoB 2. BMJ 366:l4898. doi:10.1136/bmj.l4898
    Sterne JA et al. (2016). ROBINS-I. BMJ 355:i4919. doi:10.1136/bmj.i4919

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.forest_table(metaan.pool(eff), footnote=False)
    >>> table["row"].tolist()
    ['study', 'study', 'study', 'pooled', 'prediction', 'statistics', 'statistics']
    >>> refits = metaan.leave_one_out(metaan.pool(eff))
    >>> metaan.plot.forest_table(refits, right={"Rate": "estimate", "Variance": "tau2"})["study"].tolist()[:4]
    ['Without Ames', 'Without Bo', 'Without Clark', 'All 3 studies (rate of the median study)']
    """
    shown = _shown(res, _Ask(interval, _checked(prediction), blup))
    if getattr(res, "attrs", {}).get("kind") == "cumulative" and not (sort is None and group is None):
        raise OptionError("sort= and group= would break the order of a cumulative table: give cumulative order=.")
    if group is not None:
        put_in_groups(shown, group)
    order = ranked(shown, sort)
    if not footnote:
        shown.notes = []
    shown.notes += add_rob(shown, rob, marks.get("rob_levels"))
    add_marks(shown, marks)
    add_columns(shown, "left", left)
    add_columns(shown, "right", right)
    _predict(shown, res, prediction)
    table = assemble(shown, order)
    table.attrs["alt"] = in_words(table)
    return table


def _checked(prediction: object) -> bool:
    """Whether a prediction interval is wanted."""
    if not any(prediction is choice or (isinstance(choice, str) and prediction == choice) for choice in _PREDICTION):
        raise OptionError(f"prediction={prediction!r} is not known. Choose True, False, 'bar', 'band' or 'density'.")
    return prediction is not False


def _predict(shown: Shown, res: Any, prediction: object) -> None:
    """Write into the attrs how the prediction interval is to be shown."""
    if not isinstance(prediction, str) or prediction == "bar":
        return
    if not any(row["row"] == "prediction" for row in shown.summary):
        return
    if prediction == "band":
        shown.attrs["prediction"] = "band"
        return
    density = density_of(res.overall if isinstance(res, SubgroupResult) else res)
    if density is not None:
        shown.attrs["density"] = density


def _shown(res: Any, ask: _Ask) -> Shown:
    """Rows and sentences of whatever can be drawn."""
    import pandas as pd

    if isinstance(res, pd.DataFrame):
        return _of_frame(res, ask)
    if not isinstance(res, Mapping):
        return _of_result(res, ask)
    if not res:
        raise OptionError("res is an empty dict: there is no model to draw.")
    if ask.blup:
        raise OptionError("blup=True: every model has shrunken effects of its own. Draw one model, or leave blup out.")
    several = [name for name, one in res.items() if isinstance(one, (SubgroupResult, pd.DataFrame))]
    if several:
        raise OptionError(f"{listed(several)}: the models of one plot have one pooled effect each.")
    return of_models({str(name): _of_result(one, ask._replace(blup=False)) for name, one in res.items()})


def _of_result(res: Any, ask: _Ask) -> Shown:
    interval, prediction, blup = ask.interval, ask.prediction, bool(ask.blup)
    if isinstance(res, PoolResult):
        return of_pool(res, interval, prediction=prediction, blup=blup)
    if isinstance(res, SubgroupResult):
        return of_subgroups(res, interval, prediction=prediction, blup=blup)
    if isinstance(res, BayesResult):
        return of_bayes(res, interval, prediction=prediction, blup=ask.blup is not False)
    if isinstance(res, RegressResult):
        shown = of_pool(as_pool(res), interval, prediction=prediction, blup=blup)
        if isinstance(res, MultilevelResult):
            shown.statistics[0] = levels_line(res)
        return shown
    raise OptionError(f"res is a {type(res).__name__}. Pass what {_MADE_BY}.")


def _of_frame(frame: pd.DataFrame, ask: _Ask) -> Shown:
    """Rows of refits; options that need the studies themselves are refused."""
    if is_table(frame):
        raise OptionError("res is a table of forest_table already: draw it with metaan.plot.forest.")
    if not is_refits(frame):
        raise OptionError(f"res is a DataFrame without the attrs of a table of refits. Pass what {_MADE_BY}.")
    given = [name for name, value in (("interval", ask.interval != _INTERVAL), ("blup", ask.blup)) if value]
    if given:
        raise OptionError(f"{', '.join(given)}: of studies, which a table of refits does not have.")
    return of_refits(frame, ask.prediction)


def is_table(frame: pd.DataFrame) -> bool:
    """Whether a DataFrame is a forest table, and not one of refits."""
    return "row" in frame.columns and not is_refits(frame)


def check_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that can be drawn; raise OptionError with what it lacks otherwise."""
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise OptionError(f"The table lacks {', '.join(absent)}. Start from metaan.plot.forest_table(res).")
    unknown = sorted(set(map(str, table["row"])) - set(ROWS))
    if unknown:
        raise OptionError(f"row holds {listed(unknown)}, which is not known. Choose from {', '.join(ROWS)}.")
    if not (table["row"] == "study").any():
        raise OptionError("The table has no row of kind 'study': there is nothing to draw.")
    one = sorted(set(map(str, table["scale"])) - set(SCALES))
    if one:
        raise OptionError(f"scale holds {listed(one)}, which is not known. Choose from {', '.join(SCALES)}.")
    table = checked(table, {}, free=("estimate", "low", "high", "weight", "level"))
    wrong = (table["weight"] < 0) | np.isinf(table["weight"])
    forbid(wrong.to_numpy(), [*map(str, table["study"])], "weight must be 0 or more and finite, or blank")
    return table
