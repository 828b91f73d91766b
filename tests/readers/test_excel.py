"""Sheets of workbooks as people keep them."""

import builtins
import datetime
import zipfile

import numpy as np
import pytest
from helpers.reading import code_set as codes

import metaan
from metaan.errors import DataError, InputError, OptionError

openpyxl = pytest.importorskip("openpyxl")


def messy(book, title):
    """A table with a title, two rows of names, merged cells, a section, a total and a footnote."""
    sheet = book.create_sheet(title)
    cells = {
        "A1": "Table 1: response (patients)", "A3": "Study", "B3": "Treatment", "E3": "Control",
        "B4": "events", "C4": "n", "E4": "events", "F4": "n", "G4": "Follow-up (months)",
        "A5": "Randomised trials", "A6": "Adams", "B6": 3, "C6": 20, "E6": 5, "F6": 21, "G6": 12.5,
        "A7": "Baker", "B7": 0, "C7": "15 ", "E7": "NR", "F7": 14, "G7": "6",
        "A8": "Total", "B8": 3, "C8": 35, "E8": 5, "F8": 35, "A10": "* per protocol",
    }  # fmt: skip
    for place, value in cells.items():
        sheet[place] = value
    for merged in ("A1:G1", "A3:A4", "B3:C3", "E3:F3", "A5:G5"):
        sheet.merge_cells(merged)
    return sheet


@pytest.fixture
def book():
    made = openpyxl.Workbook()
    made.remove(made.active)
    messy(made, "Trials")
    made.create_sheet("Remarks")["A1"] = "by hand"
    return made


@pytest.fixture
def read(tmp_path):
    def reading(book, name="trials.xlsx", **options):
        book.save(tmp_path / name)
        return metaan.read(tmp_path / name, **options)

    return reading


def test_a_messy_sheet(read, book):
    trials = read(book)
    assert trials["study"].tolist() == ["Adams", "Baker"]
    np.testing.assert_array_equal(trials[["events_t", "total_t"]], [[3, 20], [0, 15]])
    np.testing.assert_array_equal(trials[["events_c", "total_c"]], [[5, 21], [np.nan, 14]])
    assert codes(trials) == {
        "sheet", "merged", "title-rows", "two-headings", "renamed", "blank-rows", "heading-of-a-section", "totals",
        "footnote", "blank-columns", "missing-mark", "spaces",
    }  # fmt: skip
    assert [row["row"] for row in trials.attrs["read"]["left_out"]] == [5, 8, 10]
    story = metaan.explain(trials)
    assert story.total == story.kept + len(story.rows)
    assert "heading of a section" in str(story)
    assert "removed from the frame" in str(metaan.explain(trials[:1]))


def test_several_sheets_must_be_chosen_from(read, book):
    messy(book, "Second, with comma")
    with pytest.raises(InputError, match=r"several sheets may be meant.*'Trials', 'Second, with comma'"):
        read(book)
    assert len(read(book, sheet=3)) == len(read(book, sheet="Trials")) == 2
    for wrong, message in (
        ("Trails", "Did you mean 'Trials'"),
        (0, "numbered from 1: 1 'Trials'"),
        (True, "sheet=True"),
    ):
        with pytest.raises(OptionError, match=message):
            read(book, sheet=wrong)


def test_trouble_in_the_only_table_is_told_as_such(read, book):
    book["Trials"]["B6"] = "many"
    with pytest.raises(DataError, match=r"row 6 \(study 'Adams'\): column 'Treatment events' holds 'many'"):
        read(book)


def test_no_table_at_all_lists_what_was_found(read, book):
    del book["Trials"]
    with pytest.raises(InputError, match=r"sheet 'Remarks': no row has the names.*'by hand'"):
        read(book)
    book["Remarks"]["A1"] = None
    with pytest.raises(InputError, match="empty"):
        read(book)


def test_spreadsheets_turn_fractions_into_dates(read, book):
    book["Trials"]["B6"] = datetime.datetime(2024, 3, 24)
    with pytest.raises(DataError, match="3/24 into a date"):
        read(book)


def test_a_formula_without_its_value_is_not_missing(read, book):
    book["Trials"]["B6"] = "=1+2"
    with pytest.raises(InputError, match="cell B6 holds a formula"):
        read(book)


def test_a_merged_label_goes_for_all_its_rows_and_a_merged_number_for_one(read):
    book = openpyxl.Workbook()
    rows = [["study", "events", "total", "arm"], ["A", 3, 24, "x"], [None, 1, None, "y"], ["B", 2, 9, "x"]]
    for row in rows:
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    book.active.merge_cells("C2:C3")
    trials = read(book)
    assert trials["study"].tolist() == ["A", "A", "B"]
    np.testing.assert_array_equal(trials["total"], [24, np.nan, 9])
    assert {"merged", "duplicate-study"} <= codes(trials)


def test_a_cell_far_away_does_not_hang(read, book):
    book["Trials"]["XFD1048576"] = 1
    with pytest.raises(InputError, match="reaches to row 1,048,576"):
        read(book, sheet=1)


def test_openpyxl_is_asked_for_where_it_is_absent(read, book, monkeypatch):
    read(book)
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == "openpyxl":
            raise ImportError(name)
        return real(name, *rest, **more)

    path_of = read.__closure__[0].cell_contents / "trials.xlsx"
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'metaan\[excel\]'"):
        metaan.read(path_of)


def archive(path, parts):
    """An archive at this path; a number stands for so many zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, bytes(content) if isinstance(content, int) else content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.txt": "x"}, "no XLSX workbook"),
        ({"word/document.xml": "x"}, r"document of Word \(\.docx\).*Save its table as \.xlsx or \.csv"),
        ({"ppt/presentation.xml": "x"}, r"presentation of PowerPoint \(\.pptx\)"),
        ({"xl/workbook.bin": "x"}, r"binary workbook of Excel \(\.xlsb\).*Save its table as \.xlsx"),
        ({"Index/Document.iwa": "x"}, r"document of Numbers, Pages or Keynote.*Save its table as \.xlsx"),
        ({"mimetype": "x", "content.xml": "x"}, "OpenDocument"),
        ({"xl/workbook.xml": "<!DOCTYPE x>"}, "declares a document type"),
        ({"xl/workbook.xml": "<!DOCTYPE x>".encode("utf-16")}, "declares a document type"),
        ({"xl/workbook.xml": "x"}, "cannot be read as XLSX"),
        ({"xl/workbook.xml": "", "bomb": 201 * 2**20}, "unpacks to more than"),
        (b"PK\x03\x04 and nothing", "cannot be unpacked"),
        (b"\xd0\xcf\x11\xe0 old", r"\.xls"),
    ],
)
def test_damaged_and_hostile_workbooks(tmp_path, content, message):
    path = tmp_path / "trials.xlsx"
    if isinstance(content, dict):
        archive(path, content)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        metaan.read(path)


def test_numbers_shown_in_per_cent_are_no_counts_and_hidden_rows_are_told(read, book):
    sheet = book["Trials"]
    sheet.row_dimensions[7].hidden = True
    sheet["G6"].number_format = sheet["G7"].number_format = "0.0%"
    sheet["G6"], sheet["G7"] = 0.125, 0.5
    trials = read(book)
    assert trials["Follow-up (months)"].tolist() == [12.5, 50]
    assert {"hidden-rows", "percent-sign"} <= codes(trials)
    sheet["B6"] = 1
    sheet["B6"].number_format = "0%"
    with pytest.raises(DataError, match="holds '100%': a percentage"):
        read(book)


def rows_in(book, title, rows):
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append(row)
    return sheet


@pytest.fixture
def drafts():
    """A sheet that is not understood, and one with an old table."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    rows_in(made, "Main", [["Author", "CR", "Evaluable pts"], ["Adams", 3, 44], ["Baker", 4, 30]])
    rows_in(made, "Old draft", [["study", "events", "total"], ["Adams", 1, 44], ["Baker", 2, 30]])
    return made


def test_a_table_is_not_passed_over_for_another(read, drafts):
    message = (
        r"'Old draft' can be read, but 'Main' holds a table.*no set of columns.*sheet='Old draft', or sheet='Main'"
    )
    with pytest.raises(InputError, match=message):
        read(drafts)
    assert read(drafts, sheet="Old draft")["events"].tolist() == [1, 2]
    named = {"events": "CR", "total": "Evaluable pts"}
    assert read(drafts, sheet="Main", columns=named)["events"].tolist() == [3, 4]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_read_only_where_it_is_named(read, drafts, state):
    drafts["Old draft"].sheet_state = state
    with pytest.raises(InputError, match=r"sheet 'Main': no set of columns.*named, sheet=: 'Old draft'"):
        read(drafts)
    assert "hidden-sheet" in codes(read(drafts, sheet="Old draft"))
    trials = read(drafts, columns={"events": "CR", "total": "Evaluable pts"})
    assert trials["events"].tolist() == [3, 4]
    assert "Sheets that are hidden in the workbook are not read: 'Old draft'." in trials.attrs["notes"]
    drafts["Main"].delete_rows(1, 9)
    with pytest.raises(InputError, match=r"every sheet that holds anything is hidden.*'Old draft'"):
        read(drafts)


@pytest.mark.parametrize(
    "rows",
    [
        [["Read me"], ["Counts are per protocol"]],
        [["Study", "Year", "Reason"], ["Quist", 1999, "no control"], ["Ray", 2001, "duplicate"]],
        [["Study", "Year", "Reason"], ["Quist", "1999", "no control"], ["Ray", "2001", "duplicate"]],
        [["No", "To do"], [1, "ask the author"], [2, "check the dose"]],
        [["When", "What"], ["2024-03-01", "first draft"], [datetime.date(2024, 4, 1), "second draft"]],
        [["Version", 1.2], ["Contact", "adams@example.org"]],
    ],
    ids=["text", "years", "years as text", "numbered", "dated", "one number"],
)
def test_text_is_passed_over_with_the_reason(read, book, rows):
    del book["Remarks"]
    rows_in(book, "Beside", rows)
    trials = read(book)
    assert len(trials) == 2
    note = next(note["text"] for note in trials.attrs["read"]["notes"] if note["code"] == "sheet")
    assert note.startswith("Sheet 'Trials' is read, since nothing can be pooled from 'Beside': no ")


@pytest.mark.parametrize(
    "rows",
    [
        [["Author", "CR", "Pts"], ["Adams", "3/44", "x"], ["Baker", "4 (13%)", "y"]],
        [["Author", "CR", "Pts"], ["Adams", 3, 44]],
        [["Author", "CR"], ["Adams", "=1+2"], ["Baker", "=2+2"]],
    ],
    ids=["texts", "one row", "formulas"],
)
def test_other_tables_are_not_passed_over(read, book, rows):
    rows_in(book, "Beside", rows)
    with pytest.raises(InputError, match="'Trials' can be read, but 'Beside' holds a table"):
        read(book)


@pytest.mark.parametrize("total", ["24", "3/24", "7 (58%)", " 24 ", "3 of 24", "<25"])
def test_a_merged_number_that_is_a_text_stands_for_one_row(read, total):
    book = openpyxl.Workbook()
    for row in [["study", "events", "total", "dose"], ["A", 3, 24, total], ["B", 1, 20, None], ["C", 2, 9, 5]]:
        book.active.append(row)
    book.active.merge_cells("D2:D3")
    trials = read(book)
    assert trials["dose"].isna().tolist() == [False, True, False]
    note = next(note["text"] for note in trials.attrs["read"]["notes"] if note["code"] == "merged-number")
    assert "the rest is missing" in note
    assert "in D2:D3" in note


def test_a_merged_count_is_counted_once_whatever_its_type(read):
    for total, shown in ((24, "General"), ("24", "General"), (0.24, "0%")):
        book = openpyxl.Workbook()
        for row in [["study", "events", "n"], ["A", 3, total], ["B", 1, None], ["C", 2, 9]]:
            book.active.append(row)
        book.active["C2"].number_format = shown
        book.active.merge_cells("C2:C3")
        if shown == "0%":
            with pytest.raises(DataError, match=r"row 2 \(study 'A'\).*'24%'"):
                read(book)
        else:
            np.testing.assert_array_equal(read(book)["total"], [24, np.nan, 9])


def test_formulas_that_no_study_needs_are_missing_with_a_note(read, book):
    sheet = book["Trials"]
    sheet["G6"], sheet["G7"] = "=B6/C6", "=B7/C7"
    sheet["B8"], sheet["C8"], sheet["C9"] = "=SUM(B6:B7)", "=SUM(C6:C7)", "=C8"
    book["Remarks"]["A2"] = "=1+1"
    trials = read(book)
    assert trials["study"].tolist() == ["Adams", "Baker"]
    assert "Follow-up (months)" not in trials
    note = next(note["text"] for note in trials.attrs["read"]["notes"] if note["code"] == "formulas")
    assert note.endswith("read as missing: 'G6', 'G7', 'B8', 'C8', 'C9'.")


@pytest.mark.parametrize("cell", ["A6", "B6", "F7"])
def test_a_formula_for_a_study_is_refused_and_the_way_out_told(read, book, cell):
    book["Trials"][cell] = "=1+2"
    with pytest.raises(DataError, match=rf"cell {cell} holds a formula whose value is not saved.*name it: sheet="):
        read(book)


def test_a_sheet_of_formulas_alone_is_told_as_such(read):
    book = openpyxl.Workbook()
    for row in [["study", "events", "total"], ["=X!A2", "=X!B2", "=X!C2"], ["=X!A3", "=X!B3", "=X!C3"]]:
        book.active.append(row)
    with pytest.raises(DataError, match=r"cell A2 holds a formula.*\(and 5 more\)"):
        read(book)
    book.active["A1"] = "=X!A1"
    with pytest.raises(InputError, match=r"formulas whose values are not saved in the file: 'A1', 'A2'"):
        read(book)


def test_a_large_sheet_beside_the_table_is_passed_over(read, book):
    far = rows_in(book, "Log", [["when", "what"]])
    far.cell(100_000, 100).value = "end"
    trials = read(book)
    assert len(trials) == 2
    assert any("'Log': reaches to row 100,000 and column 100" in note for note in trials.attrs["notes"])
    with pytest.raises(InputError, match=r"reaches to row 100,000.*name it: sheet="):
        read(book, sheet="Log")
    for row in (2, 3):
        far.cell(row, 1).value, far.cell(row, 2).value, far.cell(row, 3).value = "Adams", 3, 20
    with pytest.raises(InputError, match="'Log' holds a table"):
        read(book)


def test_hidden_columns_are_told(read, book):
    sheet = book["Trials"]
    sheet.column_dimensions["C"].hidden = True
    sheet.column_dimensions.group("E", "F", hidden=True)
    sheet.column_dimensions["X"].hidden = True  # there is nothing in it
    notes = read(book).attrs["notes"]
    assert "Columns that are hidden in the sheet are read as well: 'C', 'E', 'F'." in notes
