"""One door for the tables that people have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metaan.errors import DataError, InputError, Note, OptionError
from metaan.names import READING
from metaan.readers.analyses import Analysis, choose, grid_of
from metaan.readers.documents import read_json
from metaan.readers.excel import read_sheets
from metaan.readers.frame import read_grid, tell
from metaan.readers.grid import Grid, clipped
from metaan.readers.needs import MEASURE
from metaan.readers.revman import is_revman, one_analysis
from metaan.readers.rm5 import read_review
from metaan.readers.roles import check_columns
from metaan.readers.source import content, kind_of
from metaan.readers.tables import is_table, read_parquet, read_table
from metaan.readers.text import read_text
from metaan.readers.values import DECIMAL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read"]


def read(
    path: Any,
    *,
    columns: Mapping[str, str] | None = None,
    measure: str | None = None,
    sheet: str | int | None = None,
    header: int | Sequence[int] | None = None,
    decimal: str | None = None,
    comparison: str | int | None = None,
    outcome: str | int | None = None,
) -> pd.DataFrame:
    r"""Read the trials of a file, or of a table, under metaan's names of columns.

    Parameters
    ----------
    path : str or path, or table of pandas, polars or pyarrow
        CSV or TSV, XLSX (``pip install 'metaan[excel]'``), JSON (records, columns or "split"), Parquet (pyarrow), a
        review of RevMan 5 (.rm5), or the CSV of a review's analyses (see Notes). The content decides, not the suffix.
    columns : mapping of str to str, optional
        Headings of the file by metaan's name, before any guess: ``{"events": "CR", "total": "evaluable"}``. The same
        heading for events and total is split: 3/24.
    measure : str, optional
        Code of the measure that will be computed: the columns that it needs must be there. Without it any set of
        columns will do.
    sheet : str or int, optional
        Sheet of a workbook, by title or by number from 1. Needed only if several sheets can be read.
    header : int, or two ints, optional
        Number of the row with the names of the columns, from 1; two rows where groups stand above. Found by default.
    decimal : {".", ","}, optional
        Decimal mark of numbers that are texts. By default what the cells agree on; an error where they cannot tell.
    comparison, outcome : str or int, optional
        Analysis of a review, by number or name. ``outcome="1.2"`` is outcome 2 of comparison 1. An error lists all of
        them where there are several and none is chosen.

    Returns
    -------
    pandas.DataFrame
        A row for each study: `study`, numbers under metaan's names (float, NaN where missing), then `year` and the
        other columns as headed. ``attrs["notes"]`` is a list of sentences, one for each decision; ``attrs["read"]``
        a dict: `place`, `kind`, `measure`, `rows`, `kept`, `left_out`, `notes` (each with its `code`, `text` and
        `studies`). `metaan.explain` prints both.

    Raises
    ------
    InputError
        The file cannot be read, or it does not tell which columns, which sheet or which rows are meant; the message
        lists what was found and the closest names.
    OptionError
        An unknown name, measure, sheet, comparison or outcome, or an option for another kind of file.
    DataError
        A cell that should be a number is none, or a percentage where a count should be; row and study are named.

    Notes
    -----
    Names by family: study; events, total; events_t, total_t, events_c, total_c (treated, control); mean, sd, n; mean_t,
    sd_t, n_t, mean_c, sd_c, n_c; mean_post, mean_pre, sd_post, sd_pre, n, r; r, n; events, time; events_t, time_t,
    events_c, time_c; yi and vi or sei. nonevents (_t, _c) with one of events and total gives the other. Also known are
    metafor's ai bi ci di n1i n2i, xi mi ni, xi ti, x1i t1i x2i t2i, m1i sd1i n1i m2i sd2i n2i, mi sdi ni, ri ni, yi vi
    sei and slab, those of R's meta (event.e, n.e, mean.c, TE, seTE, studlab), and plain English ones. A heading that
    may mean several things is not guessed.

    A table of the analyses of a review is known by its columns "Analysis group", "Analysis number", "Study" (RevMan's
    data package, file of data rows: "Experimental cases", "Experimental N", "Experimental mean", "Experimental SD",
    "Control ...", "GIV Mean", "GIV SE", "O-E", "Variance"), or "Comparison Number", "Outcome Number" (RevMan 5:
    "Events 1", "Total 1", "Mean 1", "SD 1", ... "O-E", "Variance"), or comp.no, outcome.no (as R's meta returns it).

    Of a review the numbers are taken as entered. O-E and variance V become yi = (O-E)/V, vi = 1/V. No address is
    opened, nothing is written, and XML with a document type is refused.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "trials.csv"
    >>> _ = file.write_text("Author;Responders;N\nAdams;3;44\nBaker;4;30\nClark;NR;25\n")
    >>> trials = read(file)
    >>> trials
       study  events  total
    0  Adams     3.0   44.0
    1  Baker     4.0   30.0
    2  Clark     NaN   25.0
    >>> for note in trials.attrs["notes"]:
    ...     print(note)
    Cells are separated by a semicolon.
    Columns by their headings: 'Author' is study, 'Responders' is events, 'N' is total.
    1 cell read as missing: 'NR' in row 4 of 'Responders'.
    """
    asked = check_columns(columns)
    if measure is not None:
        MEASURE.check(measure)
    if decimal is not None:
        DECIMAL.check(decimal)
    grids, analysis = _grids(path, sheet, comparison, outcome)
    frame = _one_of(grids, lambda grid: read_grid(grid, asked, measure, header, decimal))
    frame.attrs[READING]["measure"] = measure or (analysis.measure if analysis else "") or None
    return frame


def _grids(
    path: Any, sheet: str | int | None, comparison: str | int | None, outcome: str | int | None
) -> tuple[list[Grid], Analysis | None]:
    """Tables of a file: the sheets of a workbook, one of anything else; and the analysis that a table is of."""
    if is_table(path):
        kind, data, name = "table", b"", "the table"
    else:
        data, name = content(path)
        kind = kind_of(data, name)
    if sheet is not None and kind != "xlsx":
        raise OptionError(f"sheet={sheet!r}: {name} is no workbook.")
    if kind == "rm5":
        analysis = choose(read_review(data, name), comparison, outcome, name)
        return [grid_of(analysis, name, kind)], analysis
    grids = read_sheets(data, name, sheet) if kind == "xlsx" else [_table(path, data, name, kind)]
    if len(grids) == 1 and is_revman(grids[0]):
        grid, analysis = one_analysis(grids[0], comparison, outcome)
        return [grid], analysis
    if comparison is not None or outcome is not None:
        raise OptionError(f"comparison= and outcome= choose an analysis of a review, which {name} is not.")
    return grids, None


def _table(path: Any, data: bytes, name: str, kind: str) -> Grid:
    if kind == "table":
        return read_table(path)
    if kind == "json":
        return read_json(data, name)
    return read_parquet(data, name) if kind == "parquet" else read_text(data, name, kind)


def _one_of(grids: Sequence[Grid], reading: Callable[[Grid], pd.DataFrame]) -> pd.DataFrame:
    """The only table that can be read; an error lists all where there are several, or none."""
    if len(grids) == 1:
        return reading(grids[0])
    frames: list[pd.DataFrame] = []
    meant: list[tuple[Grid, DataError | None]] = []
    problems: list[InputError] = []
    for grid in grids:
        try:
            frames.append(reading(grid))
            meant.append((grid, None))
        except DataError as error:  # its columns are known
            meant.append((grid, error))
        except InputError as error:
            problems.append(error)
    if len(meant) > 1:
        listed = clipped([_sheet(grid) for grid, _ in meant])
        raise InputError(
            f"{grids[0].place.partition(', ')[0]}: several sheets may be meant. Choose one, sheet=: {listed}."
        )
    if not meant:
        raise InputError(f"No sheet can be read. {' '.join(map(str, problems))}") from None
    grid, problem = meant[0]
    if problem is not None:
        raise problem
    others = clipped([_sheet(other) for other in grids if other is not grid])
    note = Note("sheet", f"Sheet {_sheet(grid)!r} is read, since nothing can be pooled from {others}.")
    return tell(frames[0], [note])


def _sheet(grid: Grid) -> str:
    """Title of the sheet of a grid."""
    return grid.place.partition(", sheet ")[2].strip("'\"")
