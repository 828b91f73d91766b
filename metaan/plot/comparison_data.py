"""Table behind a comparison of groups: their studies, their pooled effects and the intervals of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.subgroup_result import SubgroupResult
from metaan.errors import InputError, OptionError, listed
from metaan.measures.record import Effects
from metaan.models.pool import pool
from metaan.models.results import PoolResult
from metaan.plot.axis import XLABEL
from metaan.plot.forest_data import forest_table
from metaan.validate import Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "comparison_table"]

SORT: Final = Option(
    "sort",
    {
        "given": "as the groups were given", "estimate": "largest pooled effect first", "label": "alphabetical",
        "total": "largest total first", "k": "most studies first",
    },
    "given",
)  # fmt: skip
COLUMNS: Final = (
    "panel", "group", "row", "study", "events", "total", "estimate", "low", "high", "vi", "k", "level", "scale",
)  # fmt: skip
_Groups = dict[str, PoolResult | Effects]


def comparison_table(res: Any, *, least: int = 3, sort: str = "given") -> pd.DataFrame:
    """Table behind a comparison of groups: their studies, pooled effects, confidence and prediction intervals.

    Parameters
    ----------
    res : SubgroupResult, dict, or list
        From `metaan.subgroups`; pooled results by the name of their group, ``{"Surgery": res, ...}``; or a list of
        them. `Effects` in the place of a result has its studies shown and nothing pooled. A dict of such dicts or of
        subgroup results has a panel for each of its names: ``{"Per lesion": sub, "Per patient": other}``.
    least : int, default 3
        Groups with fewer studies have no pooled effect.
    sort : {"given", "estimate", "label", "total", "k"}, default "given"
        Order of the groups.

    Returns
    -------
    pandas.DataFrame
        Columns panel, group, row ("group", "study", "pooled", "prediction"), study, events, total, estimate, low, high
        (rates as proportions), vi (sampling variance on the analysis scale), k (rows "group"), level and scale. In rows
        "group", total is that of all studies. ``attrs`` hold the order of groups and panels and the labels of the axes.

    Raises
    ------
    InputError
        Nothing that can be compared, or rates together with ratios.
    OptionError
        `least` is no whole number of 1 or more; unknown `sort`.

    Examples
    --------
    >>> import metaan
    >>> a = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> b = metaan.effect_size("PLO", events=[12, 9], total=[20, 25], study=["Dee", "Eck"])
    >>> table = metaan.plot.comparison_table({"Drug": metaan.pool(a), "Heat": metaan.pool(b)})
    >>> table["row"].value_counts(sort=False).to_dict()
    {'group': 2, 'study': 5, 'pooled': 1, 'prediction': 1}
    """
    import pandas as pd

    SORT.check(sort)
    if not isinstance(least, int) or isinstance(least, bool) or least < 1:
        raise OptionError(f"least={least!r} must be a whole number of studies, 1 or more.")
    found = _read(res)
    parts, labels = [], {}
    for name, groups in found.items():
        tables = {group: _rows_of(one, name, group, least) for group, one in groups.items()}
        parts += list(tables.values())
        said = {str(table.attrs.get(XLABEL, "")) for table in tables.values()}
        labels[name] = said.pop() if len(said) == 1 else ""
    table = pd.concat(parts, ignore_index=True)
    if table["scale"].nunique() > 1:
        said_scales = ", ".join(sorted(set(table["scale"])))
        raise InputError(f"The results stand on several scales ({said_scales}): compare results of one measure.")
    order = _ordered(table, sort)
    table = table.iloc[np.argsort([order.index(group) for group in table["group"]], kind="stable")]
    table = table.iloc[np.argsort([list(found).index(name) for name in table["panel"]], kind="stable")]
    table = table.reset_index(drop=True)
    table.attrs = {"groups": order, "panels": list(found), "xlabels": labels, "least": least}
    return table


def _read(res: Any) -> dict[str, _Groups]:
    """Groups of each panel; the only panel of plain groups has no name."""
    if isinstance(res, Mapping) and res and all(isinstance(one, (Mapping, SubgroupResult)) for one in res.values()):
        return {str(name): _groups(one) for name, one in res.items()}
    return {"": _groups(res)}


def _groups(res: Any) -> _Groups:
    """Results by the name of their group."""
    if isinstance(res, SubgroupResult):
        return dict(res.groups)
    if isinstance(res, (list, tuple)):
        res = {f"Group {i}": one for i, one in enumerate(res, start=1)}
    if not isinstance(res, Mapping) or not res:
        raise InputError(
            f"res is a {type(res).__name__} that holds no groups. Pass what metaan.subgroups returned, or pooled "
            "results by name: {'Surgery': res, ...}."
        )
    wrong = [name for name, one in res.items() if not isinstance(one, (PoolResult, Effects))]
    if wrong:
        raise InputError(f"{listed(wrong)}: neither a pooled result nor Effects, so it has no studies to compare.")
    return {str(name): one for name, one in res.items()}


def _rows_of(res: PoolResult | Effects, panel: str, group: str, least: int) -> pd.DataFrame:
    """Rows of one group: itself, its studies, its pooled effect where there are enough of them."""
    import pandas as pd

    alone = isinstance(res, Effects)
    table = forest_table(pool(res, method="CE", test="z") if isinstance(res, Effects) else res, footnote=False)
    study = table[table["row"] == "study"].assign(vi=res.effects.vi if isinstance(res, PoolResult) else res.vi)
    kinds = () if alone or len(study) < least else ("pooled", "prediction")
    pooled = [table[table["row"] == kind] for kind in kinds]
    whole = study["total"].sum(min_count=len(study))
    head = study.iloc[:1].assign(row="group", study=group, events=np.nan, total=whole, vi=np.nan, k=len(study))
    head[["estimate", "low", "high"]] = np.nan
    rows = pd.concat([head, study, *(part for part in pooled if len(part))], ignore_index=True)
    out = rows.assign(panel=panel, group=group)[list(COLUMNS)]
    out.attrs = dict(table.attrs)
    return out


def _ordered(table: pd.DataFrame, sort: str) -> list[str]:
    """Groups in the order asked for, all panels together; those without an estimate last."""
    names = list(dict.fromkeys(table["group"]))
    if sort == "given":
        return names
    if sort == "label":
        return sorted(names)
    kind, column = ("pooled", "estimate") if sort == "estimate" else ("group", sort)
    best = table[table["row"] == kind].groupby("group")[column].max()
    return sorted(names, key=lambda name: -best.get(name, -np.inf))
