"""From a formula and the rows of the studies to a design matrix, by formulaic."""

from __future__ import annotations

import dataclasses
import numbers
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaan.errors import DataError, InputError, Note, OptionError, listed, shown
from metaan.measures.record import Effects
from metaan.validate import MISSING, FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Moderators", "group_values", "moderators", "new_rows", "rows_of", "take"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moderators(Frozen):
    """A design matrix and where it came from.

    Parameters
    ----------
    matrix : array of shape (k, p)
    names : tuple of str
        Columns of the matrix.
    terms : dict of str to tuple of int
        Columns of each term of the formula.
    spec : formulaic.ModelSpec
        Makes the same columns from new rows.
    rows : array of int, shape (k,)
        Positions of the studies among those that were given.
    """

    matrix: FloatArray
    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]
    spec: Any
    rows: npt.NDArray[np.intp]

    def __post_init__(self) -> None:
        self.matrix.setflags(write=False)

    @property
    def intercept(self) -> int | None:
        """Column of the intercept, None without one."""
        columns = self.terms.get("1", ())
        return columns[0] if columns else None


def take(eff: Effects, keep: Any, notes: tuple[Note, ...] = ()) -> Effects:
    """Effects of some of the studies, by mask or by position."""
    index = np.flatnonzero(keep) if np.asarray(keep).dtype == bool else np.asarray(keep)

    def some(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[index]

    aligned = eff.data is not None and len(eff.data) == eff.k
    return Effects(
        yi=eff.yi[index], vi=eff.vi[index], study=tuple(eff.study[i] for i in index), measure=eff.measure,
        events=some(eff.events), total=some(eff.total),
        data=eff.data.iloc[index] if aligned and eff.data is not None else eff.data, notes=eff.notes + notes,
        inputs=None if eff.inputs is None else {name: values[index] for name, values in eff.inputs.items()},
    )  # fmt: skip


def rows_of(eff: Effects, what: str) -> pd.DataFrame:
    """Rows behind the effects, one for each study."""
    if eff.data is None:
        raise InputError(f"{what} reads columns of the data behind the effects: pass data= to effect_size or effects.")
    if len(eff.data) != eff.k:
        raise InputError(f"The data behind the effects have {len(eff.data)} rows for {eff.k} studies.")
    return eff.data


def group_values(eff: Effects, by: Any, name: str) -> list[Any]:
    """One label for each study, none of them missing."""
    import pandas as pd

    try:
        values = list(by)
    except TypeError as error:
        raise InputError(f"{name}={shown(by)} must be a column of the data or one label for each study.") from error
    if len(values) != eff.k:
        raise InputError(f"{name} has {len(values)} labels for {eff.k} studies.")
    for value in values:
        if not pd.api.types.is_scalar(value):
            raise InputError(f"{name} holds {value!r}, which is no label.")
    lacking = tuple(study for study, value in zip(eff.study, values, strict=True) if pd.isna(value) or value == "")
    if lacking:
        raise DataError(f"{name} is missing: study {listed(lacking)}.")
    return values


def moderators(eff: Effects, formula: str, missing: str, *, also: Sequence[str] = ()) -> tuple[Effects, Moderators]:
    """Effects of the studies whose moderators, and columns `also` named, are known, and their design matrix.

    Raises
    ------
    InputError
        No data behind the effects, or a formula that names no column of theirs.
    DataError
        A moderator is missing (under ``missing="raise"``), infinite, or columns that depend on each other.
    """
    MISSING.check(missing)
    data = rows_of(eff, "regress")
    parsed = _parse(formula)
    needed = {str(name) for name in parsed.required_variables}
    known = [name for name in data.columns if isinstance(name, str)]
    used = sorted((needed & set(known)) | set(also))
    if "Intercept" in needed:
        raise InputError("A moderator cannot be called 'Intercept', the constant's own name: rename the column.")
    absent = sorted(needed - set(known))
    if absent:
        text = "" if set(absent).isdisjoint(map(str, data.columns)) else " (a column's name must be text)"
        raise InputError(f"formula={shown(formula)} names {listed(absent)}, not among the columns of the data{text}.")
    twice = sorted(name for name in used if known.count(name) > 1)
    if twice:
        raise InputError(f"data has several columns {listed(twice)}; rename all but one.")
    lacking = np.zeros(eff.k, dtype=bool)
    for name in used:
        lacking |= data[name].isna().to_numpy(dtype=bool)
    if lacking.any():
        names = tuple(name for name, gone in zip(eff.study, lacking, strict=True) if gone)
        where = ", ".join(name for name in used if data[name].isna().any())
        if missing == "raise":
            raise DataError(f"{where} is missing (missing='drop' leaves such studies out): study {listed(names)}.")
        if lacking.all():
            raise InputError(f"No studies are left: {where} is missing in each.")
        note = Note("dropped", f"{len(names)} studies left out because {where} is missing: {listed(names)}.", names)
        eff = take(eff, ~lacking, (note,))
        data = rows_of(eff, "regress")
    data, unused = _plain(data, needed) if needed else (data, ())
    eff = eff if not unused else dataclasses.replace(eff, notes=eff.notes + unused)
    if [str(term) for term in parsed] == ["1"]:
        made, matrix = _constant(), np.ones((eff.k, 1))
    else:
        made = _matrix(parsed, data, formula)
        matrix = np.array(made.to_numpy(), dtype=np.float64)
    spec = made.model_spec
    terms = {str(term): tuple(int(i) for i in columns) for term, columns in spec.term_indices.items()}
    found = Moderators(
        matrix=matrix, names=tuple(map(str, made.columns)), terms=terms, spec=spec, rows=np.flatnonzero(~lacking)
    )
    _check(found, eff)
    return eff, found


def _plain(data: pd.DataFrame, needed: set[str]) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """Moderators as formulaic reads them rightly: text as objects, numbers as numbers, no levels without a study."""
    import pandas as pd

    rows, notes = data.copy(deep=False), []
    for name in sorted(needed):
        column = data[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            empty = [str(level) for level in column.cat.categories if not (column == level).any()]
            if empty:
                rows[name] = column.cat.remove_unused_categories()
                notes.append(Note("unused-levels", f"No study has {name} = {listed(empty)}: left out of the design."))
        elif pd.api.types.is_object_dtype(column.dtype) and all(isinstance(v, numbers.Number) for v in column):
            if not any(isinstance(v, bool) for v in column):
                rows[name] = column.astype(np.float64)
        elif pd.api.types.is_string_dtype(column.dtype):
            rows[name] = column.astype(object)
        elif pd.api.types.is_timedelta64_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
            raise InputError(f"Moderator {name!r} is a date or a duration: give a number, such as the year.")
    return rows, tuple(notes)


def _parse(formula: Any) -> Any:
    if not isinstance(formula, str) or "~" in formula.strip()[1:]:
        raise OptionError(f"formula={shown(formula)} must be one-sided text such as '~ year + C(therapy)'.")
    if not formula.strip():
        raise OptionError("formula is empty; '~ 1' is the model without moderators.")
    return _parsed(formula)


@lru_cache(maxsize=64)
def _parsed(formula: str) -> Any:
    from formulaic import Formula
    from formulaic.errors import FormulaicError
    from formulaic.formula import SimpleFormula

    try:
        parsed = Formula(formula)
    except FormulaicError as error:
        raise OptionError(f"formula={shown(formula)} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(parsed, SimpleFormula):
        raise OptionError(f"formula={shown(formula)} must have one part, without '|'.")
    return parsed


@cache
def _constant() -> Any:
    """Model matrix of one row and the intercept alone, whose specification is that of any number of rows."""
    import pandas as pd

    return _matrix(_parsed("~ 1"), pd.DataFrame(index=[0]), "~ 1")


def _matrix(source: Any, data: pd.DataFrame, formula: str) -> Any:
    """Model matrix as a DataFrame; what formulaic refuses becomes an InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return source.get_model_matrix(data, na_action="raise", output="pandas", context={})
    except Exception as error:  # formulaic evaluates arbitrary Python: anything may come out of it
        raise InputError(f"formula={shown(formula)} cannot be evaluated on the data: {error}") from error


def _check(found: Moderators, eff: Effects) -> None:
    k, p = found.matrix.shape
    if not np.isfinite(found.matrix).all():
        bad = [name for name, column in zip(found.names, found.matrix.T, strict=True) if not np.isfinite(column).all()]
        where = listed(eff.study[i] for i in np.flatnonzero(~np.isfinite(found.matrix).all(axis=1)))
        raise DataError(f"Moderator {listed(bad)} is infinite or not a number: study {where}.")
    if p >= k:
        raise DataError(f"{p} coefficients need more than {p} studies; there are {k}. Take terms out of the formula.")
    if p == 0:
        raise OptionError("The formula has no columns: add a moderator or an intercept.")
    dependent = _dependent(found.matrix)
    if dependent:
        names = listed(found.names[i] for i in dependent)
        raise DataError(f"Moderator {names} is a combination of the columns before it. Take it out of the formula.")


def _dependent(matrix: FloatArray) -> list[int]:
    """Columns that are linear combinations of those before them."""
    size = np.sqrt((matrix**2).sum(axis=0))
    scaled = matrix / np.where(size > 0, size, 1.0)
    kept, basis = [], np.empty((matrix.shape[0], 0))
    for j, column in enumerate(scaled.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        length = float(np.sqrt(rest @ rest))
        if length > 1e-10:
            basis = np.column_stack([basis, rest / length])
        else:
            kept.append(j)
    return kept


def new_rows(found: Moderators, new: Any, formula: str) -> FloatArray:
    """Design matrix of new rows, made as that of the fit."""
    frame = _new_frame(new)
    absent = sorted(str(v) for v in found.spec.formula.required_variables if str(v) not in frame.columns)
    if absent:
        raise InputError(f"new lacks the column {listed(absent)} of formula={shown(formula)}.")
    for name, levels in _levels(found.spec).items():
        strange = sorted({str(value) for value in frame[name] if value not in levels})
        if strange:
            raise InputError(f"new has {name} = {listed(strange)}; the studies have {listed(map(str, levels))}.")
    plain = _plain(frame, {str(name) for name in found.spec.formula.required_variables})[0]
    matrix = np.array(_matrix(found.spec, plain, formula).to_numpy(), dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise InputError("new holds a value that is missing or infinite.")
    return matrix


def _levels(spec: Any) -> dict[str, list[Any]]:
    """Categories of each variable that stands in the formula as a factor by itself."""
    found = {}
    for factor, state in spec.factor_contrasts.items():
        name = re.match(r"^(?:C\()?(\w+)(?:\s*,.*)?\)?$", factor.expr)
        if name:
            found[name[1]] = list(state.levels)
    return found


def _new_frame(new: Any) -> pd.DataFrame:
    """Rows for a prediction: a DataFrame, a mapping for one row, or a list of mappings."""
    import pandas as pd

    if isinstance(new, pd.DataFrame):
        return new
    rows = new if isinstance(new, list) else [new]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"new must be a DataFrame, a mapping or a list of mappings, not {type(new).__name__}.")
    for row in rows:
        for name, value in row.items():
            if not pd.api.types.is_scalar(value):
                raise InputError(f"new has {name} = {value!r}: a mapping is one row. Give a DataFrame for several.")
    return pd.DataFrame(rows)
