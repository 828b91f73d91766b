"""Every column of a table that metaan makes has a row in the vocabulary."""

import pytest
from helpers.evidence import load_keeping

import metaan
from metaan.names import COLUMNS, heading


@pytest.fixture(scope="module")
def trials():
    return load_keeping("electrochemotherapy", outcome="complete_response", unit="patient")


@pytest.fixture(scope="module")
def res(trials):
    return metaan.glmm("PLO", trials, events="events", total="total", study="study")


@pytest.mark.parametrize(
    "table",
    [
        lambda trials, res: res.to_frame(),
        lambda trials, res: res.studies(),
        lambda trials, res: metaan.plot.forest_table(res),
        lambda trials, res: metaan.catalogue(),
        lambda trials, res: metaan.explain(trials).counts,
    ],
    ids=["result", "studies", "forest", "catalogue", "explain"],
)
def test_columns_are_in_the_vocabulary(table, trials, res):
    assert set(table(trials, res).columns) <= set(COLUMNS)


def test_numbers_of_a_result_have_a_meaning(res):
    assert {name for name, value in res.to_dict().items() if isinstance(value, float)} <= set(COLUMNS)


def test_headings_name_the_unit_of_percentages():
    assert heading("weight") == "weight (%)"
    assert heading("tau2") == "τ²"


def test_notebook_table_uses_the_headings(res):
    assert "τ²" in res._repr_html_()
