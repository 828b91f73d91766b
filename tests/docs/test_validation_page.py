"""The tables of docs/validation.md are what docs/make_validation.py makes of tests/."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_validation", ROOT / "docs" / "make_validation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_tests_say(maker):
    page = maker.PAGE.read_text(encoding="utf-8")
    assert maker.filled(page) == page, "docs/validation.md is stale: run python docs/make_validation.py"


def test_a_stale_table_is_seen(maker):
    page = maker.PAGE.read_text(encoding="utf-8")
    stale = page.replace("85 cells", "86 cells")
    assert stale != page
    assert maker.filled(stale) == page


def test_every_grid_has_a_row(maker):
    assert {path.stem for path in maker.REFERENCE.glob("*_grid.json")} == set(maker.GRIDS)
    assert {path.stem for path in maker.REFERENCE.glob("*_grid.R")} == set(maker.GRIDS)


def test_numbers_are_counted(maker):
    assert maker.numbers({"a": [1, 2.5, None, "x", True], "b": {"c": 3}}) == 3
    assert maker.sections({"versions": {"R": "4"}, "cells": {"a": 1, "b": 2}, "kinds": [1]}) == "2 cells"


@pytest.mark.parametrize(
    ("name", "told"), [("REL", "1e-7"), ("B", "1e-6"), ("BOTH", "2e-6 to 5e-5"), ("rel=1e-4", "1e-4")]
)
def test_tolerances_are_read_from_a_test(maker, name, told):
    source = "REL = 1e-7\nA, B = 1e-8, 1e-6\nBOTH = {1: 2e-6, 2: 5e-5}\nassert close(x, rel=1e-4)\n"
    assert maker.tolerance(source, name) == told


def test_a_tolerance_that_no_test_has_is_refused(maker):
    with pytest.raises(ValueError, match="rel=1e-9"):
        maker.tolerance("assert close(x, rel=1e-4)", "rel=1e-9")
    with pytest.raises(ValueError, match="counts"):
        maker.filled("no tables here")
