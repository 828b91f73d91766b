"""One door for the tables that people have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metaan.errors import InputError, Note, OptionError
from metaan.names import READING
from metaan.readers.analyses import Analysis, choose, grid_of
from metaan.readers.documents import read_json
from metaan.readers.excel import Sheet, read_sheets
from metaan.readers.formulas import refuse_formulas, settle_formulas
from metaan.readers.frame import read_grid, tell
from metaan.readers.grid import Grid
from metaan.readers.needs import MEASURE
from metaan.readers.revman import heading_of, one_analysis, refuse_several
from metaan.readers.rm5 import read_review
from metaan.readers.roles import check_columns
from metaan.readers.sheets import only_sheet
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
        CSV or TSV, XLSX (``pip install 'metaan[excel]'``), JSON (records, columns, index or "split") and JSON Lines,
        Parquet (pyarrow), a review of RevMan 5 (.rm5), or the table of a review's analyses (see Notes). The content
        decides, not the suffix.
    columns : mapping of str to str, optional
        Headings of the file by metaan's name, before any guess: ``{"events": "CR", "total": "evaluable"}``. The same
        heading for events and total is split: 3/24.
    measure : str, optional
        Code of the measure that will be computed: the columns that it needs must be there. Without it any set of
        columns will do.
    sheet : str or int, optional
        Sheet of a workbook, by title or by number from 1. Needed only if several sheets may be meant, or a hidden one.
    header : int, or two ints, optional
        Number of the row with the names of the columns, from 1; two rows where groups stand above. Found by default.
    decimal : {".", ","}, optional
        Decimal mark of numbers that are texts. By default what the cells agree on; an error where they cannot tell.
    comparison, outcome : str or int, optional
        Analysis of a review, by number or name. ``outcome="1.2"`` is outcome 2 of comparison 1, ``"1.2.3"`` its
        subgroup 3, and ``"1.2.*"`` all its subgroups, also where they hold the same studies. An error lists all of
        them where there are several and none is chosen.

    Returns
    -------
    pandas.DataFrame
        A row for each study: `study`, numbers under metaan's names (float, NaN where missing), then `year` and the
        other columns as headed; `section` where headings stand between the rows. ``attrs["notes"]`` is a list of
        sentences, one for each decision; ``attrs["read"]`` a dict: `place`, `kind`, `measure`, `rows`, `kept`,
        `left_out`, `notes` (each with its `code`, `text` and `studies`). `metaan.explain` prints both.

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
    "Control ...", "GIV Mean", "GIV SE", "O-E", "Variance"), or "Comparison Number", "Outcome Number", "Name" (RevMan 5,
    "Data and analyses": "Subgroup Number", "Data Type", "Effect Measure", "Events 1", "Total 1", "Mean 1", "SD 1", ...
    "Effect Estimate", "SE", "O-E", "Variance", "Year of study"), or comp.no, outcome.no (as R's meta returns it).

    Of a review the numbers are taken as entered. O-E and variance V become yi = (O-E)/V, vi = 1/V. Rows without data
    (an arm of no patients, standard deviations or a standard error of 0) are left out, as in the review. No address
    is opened, nothing is written, and XML with a document type is refused.

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
    asking = _Asking(asked, measure, header, decimal, comparison, outcome)
    if is_table(path):
        kind, data, name = "table", b"", "the table"
    else:
        data, name = content(path)
        kind = kind_of(data, name)
    if sheet is not None and kind != "xlsx":
        raise OptionError(f"sheet={sheet!r}: {name} is no workbook.")
    if kind == "rm5":
        analysis = choose(read_review(data, name), comparison, outcome, name)
        return asking.frame(grid_of(analysis, name, kind), analysis)
    if kind != "xlsx":
        return asking.read(_table(path, data, name, kind))
    return asking.workbook(read_sheets(data, name, sheet), sheet is not None)


def _table(path: Any, data: bytes, name: str, kind: str) -> Grid:
    if kind == "table":
        return read_table(path)
    if kind == "json":
        return read_json(data, name)
    return read_parquet(data, name) if kind == "parquet" else read_text(data, name, kind)


@dataclass(frozen=True)
class _Asking:
    """What the caller wants of a table."""

    columns: Mapping[str, str]
    measure: str | None
    header: int | Sequence[int] | None
    decimal: str | None
    comparison: str | int | None
    outcome: str | int | None

    def workbook(self, sheets: Sequence[Sheet], named: bool) -> pd.DataFrame:
        """The sheet that is meant; where an analysis is chosen, a table of analyses."""
        if named:
            return self.read(sheets[0])
        if self.of_review:
            reviews = [sheet for sheet in sheets if self._heading(sheet) is not None]
            if not reviews:
                raise OptionError(self._no_review(sheets[0].book))
            if len(reviews) == 1 and not reviews[0].hidden:
                note = Note("sheet", f"Sheet {reviews[0].title!r} is read, the only one with analyses of a review.")
                return tell(self.read(reviews[0]), [note] if len(sheets) > 1 else [])
        return only_sheet(sheets, self.read, lambda sheet: self._heading(sheet) is not None)

    def read(self, grid: Grid) -> pd.DataFrame:
        """Table of a grid, or of one analysis in it."""
        if isinstance(grid, Sheet) and grid.problem:
            raise InputError(f"{grid.place} {grid.problem}. If another sheet is meant, name it: sheet=.")
        first = self._heading(grid)
        if first is not None:
            if isinstance(grid, Sheet):
                refuse_formulas(grid, grid.unsaved.values())
            return self.frame(*one_analysis(grid, first, self.comparison, self.outcome))
        if self.of_review:
            raise OptionError(self._no_review(grid.place))
        refuse_several(grid, self.header)
        if isinstance(grid, Sheet):
            settle_formulas(grid, self.columns, self.measure, self.header)
        return self.frame(grid, None, self.header)

    def frame(self, grid: Grid, analysis: Analysis | None, header: int | Sequence[int] | None = None) -> pd.DataFrame:
        """Table of a grid, with what a review left out."""
        frame = read_grid(grid, self.columns, self.measure, header, self.decimal)
        record = frame.attrs[READING]
        record["measure"] = self.measure or (analysis.measure if analysis else "") or None
        if analysis:
            record["left_out"] = [*record["left_out"], *map(asdict, analysis.left)]
            record["rows"] += len(analysis.left)
        return frame

    @property
    def of_review(self) -> bool:
        """Whether an analysis of a review is asked for."""
        return self.comparison is not None or self.outcome is not None

    def _heading(self, grid: Grid) -> int | None:
        return heading_of(grid, self.header)

    def _no_review(self, name: str) -> str:
        return f"comparison= and outcome= choose an analysis of a review, which {name} is not."
