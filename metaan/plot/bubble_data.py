"""What a bubble plot shows, as a table: studies at their moderator, and the regression along it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import InputError, OptionError, listed
from metaan.measures.backtransform import display_scale
from metaan.models.beta_binomial_regress import BetaBinomialRegression
from metaan.models.design import Moderators, rows_of
from metaan.models.location_scale_result import LocationScaleResult
from metaan.models.regress_result import RegressResult
from metaan.plot.scales import label_of, scale_of
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LIMITS", "Regression", "bubble_table"]

Regression = RegressResult | LocationScaleResult | BetaBinomialRegression
LIMITS: Final = ("ci_low", "ci_high", "pi_low", "pi_high")
_POINTS: Final = 101
_SPREAD: Final = 0.3  # from the middle of a category to its outermost point
_APART: Final = 0.8  # width of a category that its groups share


@dataclass(frozen=True, kw_only=True)
class _Moderator:
    """One variable of the formula."""

    name: str
    values: Any
    """Of the studies: numbers, or labels."""
    levels: tuple[Any, ...] = ()
    """Of a category, the reference first; empty for a number."""

    @property
    def usual(self) -> Any:
        """Where it is held: the mean, or the reference category."""
        return self.levels[0] if self.levels else float(np.mean(self.values))


def bubble_table(
    fit: Regression, *, x: str | None = None, by: str | None = None, at: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Table that a bubble plot draws: the studies, and the regression with its bands.

    Parameters
    ----------
    fit : RegressResult, GlmmRegressResult, BetaBinomialRegression, LocationScaleResult or MultilevelResult
        From `metaan.regress`, or from `metaan.glmm` or `metaan.beta_binomial` with a formula.
    x : str, optional
        Moderator, a column of the data behind the effects; the only one by default.
    by : str, optional
        A second, categorical moderator: a line for each of its levels.
    at : mapping, optional
        Where other moderators are held: by default numbers at their mean over the studies, categories at the reference
        level.

    Returns
    -------
    pandas.DataFrame
        Columns row ("study", "line" for a number, "level" for a category), study, group (level of `by`), x (value of
        the moderator; for a category its place 0, 1 ... with studies beside it), estimate (observed, or expected),
        ci_low, ci_high, pi_low, pi_high (of the expected effect and of the true effect in a new study; NaN for
        studies), weight (%) and scale. Rates are proportions. ``attrs`` hold the name of the moderator, its levels, the
        groups, and where the others are held.

    Raises
    ------
    InputError
        `fit` is no regression.
    OptionError
        `x`, `by` or a name in `at` that is no moderator of the formula; a `by` that is no category; a model without
        moderators.

    Notes
    -----
    Lines end where the studies (of the level) do, or run along all of them where a level has one value of `x` only. No
    random numbers: studies of a category stand side by side in the order of the sequence of van der Corput.

    Examples
    --------
    >>> import metaan, pandas as pd
    >>> rows = pd.DataFrame({"y": [0.1, 0.3, 0.5, 0.2, 0.6], "v": [0.02] * 5, "year": [1990, 2000, 2010, 1995, 2012]})
    >>> fit = metaan.regress(metaan.effects("y", "v", data=rows), "~ year", test="z")
    >>> table = metaan.plot.bubble_table(fit)
    >>> table.query("row == 'line'")["x"].agg(["min", "max"]).tolist()
    [1990.0, 2012.0]
    """
    import pandas as pd

    if not isinstance(fit, (RegressResult, LocationScaleResult, BetaBinomialRegression)):
        raise InputError(
            f"fit is a {type(fit).__name__}. Pass what regress returned, or glmm or beta_binomial with a formula."
        )
    found = _moderators(fit)
    along = _chosen(found, x)
    group = None if by is None else _group(found, along, by)
    others = {name: one for name, one in found.items() if one is not along and one is not group}
    held = {name: one.usual for name, one in others.items()} | _given(others, at)
    groups = [None] if group is None else list(group.levels)
    parts = [_studies(fit, along, group)]
    for i, level in enumerate(groups):
        here = np.ones(fit.k, dtype=bool) if group is None else np.asarray(group.values == level)
        parts.append(_expected(fit, along, here, held | ({} if group is None else {group.name: level}), i, len(groups)))
        parts[-1]["group"] = "" if group is None else str(level)
    table = pd.concat(parts, ignore_index=True).assign(scale=scale_of(fit.effects))
    table.attrs = {
        "x": along.name, "levels": [str(level) for level in along.levels], "by": by or "",
        "groups": [str(level) for level in groups if level is not None], "level": fit.spec.level,
        "at": {name: value if isinstance(value, (int, float)) else str(value) for name, value in held.items()},
    }  # fmt: skip
    table.attrs |= label_of(fit.effects)
    return table


def _moderators(fit: Regression) -> dict[str, _Moderator]:
    """Variables of the formulas, with the values that the studies have."""
    import pandas as pd

    designs = [fit.moderators, *([fit.scale_moderators] if isinstance(fit, LocationScaleResult) else [])]
    data = rows_of(fit.effects, "bubble")
    names = dict.fromkeys(str(v) for one in designs for v in sorted(one.spec.formula.required_variables))
    found = {}
    for name in names:
        column = data[name]
        levels = next((known for one in designs if (known := _levels(one, name))), ())
        number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        if not levels and not number and not _numbers(column):
            levels = tuple(sorted(set(column), key=str))
        values = column.to_numpy(dtype=object) if levels else column.to_numpy(dtype=np.float64)
        found[name] = _Moderator(name=name, values=values, levels=levels)
    if not found:
        raise OptionError(f"formula={fit.spec.formula!r} has no moderator: there is nothing to put on the x axis.")
    return found


def _numbers(column: Any) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column)


def _levels(design: Moderators, name: str) -> tuple[Any, ...]:
    """Categories of a factor, its reference first; empty where the formula takes it as a number."""
    for factor, state in design.spec.factor_contrasts.items():
        if re.match(rf"^(?:C\()?{re.escape(name)}\b(?!\s*\()", factor.expr):
            known = list(state.levels)
            base = getattr(state.contrasts, "base", None)
            return tuple(sorted(known, key=lambda level: level != base)) if base in known else tuple(known)
    return ()


def _chosen(found: Mapping[str, _Moderator], x: str | None) -> _Moderator:
    if x is None and len(found) == 1:
        return next(iter(found.values()))
    if x is None:
        raise OptionError(f"Give x=, one of the moderators {', '.join(found)}.")
    if x not in found:
        raise OptionError(f"x={x!r} is not a moderator of the formula: {', '.join(found)}.")
    return found[x]


def _group(found: Mapping[str, _Moderator], along: _Moderator, by: str) -> _Moderator:
    if by not in found or by == along.name:
        rest = [name for name, one in found.items() if one is not along and one.levels]
        raise OptionError(
            f"by={by!r} is not a second moderator of the formula. Categories: {', '.join(rest) or 'none'}."
        )
    if not found[by].levels:
        raise OptionError(
            f"by={by!r} is a number: a line for each value needs a category. Hold it with at={{{by!r}: ...}}."
        )
    return found[by]


def _given(others: Mapping[str, _Moderator], at: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values that the caller chose for the other moderators."""
    chosen = dict(at or {})
    strange = [name for name in chosen if name not in others]
    if strange:
        raise OptionError(f"at= names {listed(strange)}; the other moderators are {', '.join(others) or 'none'}.")
    return chosen


def _studies(fit: Regression, along: _Moderator, group: _Moderator | None) -> pd.DataFrame:
    """Studies where they were observed."""
    import pandas as pd

    eff = fit.effects
    counted = eff.events is not None and eff.total is not None and scale_of(eff) == "rate"
    observed = eff.events / eff.total if counted else display_scale(eff).inverse(eff.yi)  # type: ignore[operator]
    x = np.asarray(along.values) if not along.levels else _beside(along, group, np.asarray(observed))
    label = np.full(fit.k, "") if group is None else np.array([str(value) for value in group.values])
    columns = {
        "row": "study",
        "study": list(eff.study),
        "group": label,
        "x": x.astype(np.float64),
        "estimate": observed,
    }
    return pd.DataFrame(columns | dict.fromkeys(LIMITS, np.nan) | {"weight": fit.weights})


def _beside(along: _Moderator, group: _Moderator | None, observed: FloatArray) -> FloatArray:
    """Places of studies by category: about its middle, or that of its group, neighbours in size well apart."""
    x = np.empty(len(observed))
    groups = (None,) if group is None else group.levels
    for place, level in enumerate(along.levels):
        for i, name in enumerate(groups):
            here = np.asarray(along.values == level)
            here &= True if group is None else np.asarray(group.values == name)
            rows = np.flatnonzero(here)[np.argsort(observed[here], kind="stable")]
            shift = (
                _SPREAD * _APART * 2 / len(groups) * (_corput(rows.size) - 0.5)
                if rows.size > 1
                else np.zeros(rows.size)
            )
            x[rows] = place + _slot(i, len(groups)) + shift
    return x


def _slot(i: int, n: int) -> float:
    """Middle of group i of n beside the middle of the category."""
    return _APART * ((i + 0.5) / n - 0.5)


def _corput(n: int) -> FloatArray:
    """Sequence of van der Corput in base 2: 1/2, 1/4, 3/4, 1/8 ..."""
    return np.array([sum(int(bit) / 2 ** (j + 1) for j, bit in enumerate(reversed(f"{i:b}"))) for i in range(1, n + 1)])


def _expected(fit: Regression, along: _Moderator, here: Any, fixed: Mapping[str, Any], i: int, n: int) -> pd.DataFrame:
    """Expected effect along the moderator, for the studies `here`, other moderators fixed."""
    import pandas as pd

    if along.levels:
        values: Any = [level for level in along.levels if (along.values[here] == level).any()]
        place = np.array([along.levels.index(level) for level in values], dtype=np.float64) + _slot(i, n)
    else:
        own = along.values[here] if np.unique(along.values[here]).size > 1 else along.values
        values = place = np.linspace(float(own.min()), float(own.max()), _POINTS)
    new = pd.DataFrame({along.name: values} | dict(fixed))
    made = fit.predict(new, scale="display").reset_index(drop=True)
    columns = {"row": "level" if along.levels else "line", "study": "", "group": "", "x": place}
    return pd.DataFrame(columns | {name: made[name] for name in ("estimate", *LIMITS)} | {"weight": np.nan})
