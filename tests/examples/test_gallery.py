"""Every script of the gallery runs without a warning, writes its figure and says in words what it shows."""

import ast
import runpy
import shutil
import warnings

import pytest
from helpers.examples import ROOT

import metaan.plot

GALLERY = sorted((ROOT / "examples" / "gallery").glob("*.py"))


@pytest.mark.slow  # make docs runs every script besides
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_a_script_draws_its_figure(path, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runpy.run_path(shutil.copy(path, tmp_path))
    written = sorted((tmp_path / "output").iterdir())
    assert written
    for file in written:
        assert file.stem.startswith(path.stem.rstrip("s"))
        assert file.stat().st_size > 10_000
        if file.suffix == ".png":
            assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "studies" in capsys.readouterr().out


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_a_script_is_short_and_says_how_to_read_its_figure(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    title, rule, _, *words = ast.get_docstring(tree).splitlines()
    assert set(rule) == {"="}
    assert len(rule) == len(title)
    assert len(" ".join(words).split()) >= 25
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 50


def test_every_figure_stands_in_the_gallery():
    text = "\n".join(path.read_text(encoding="utf-8") for path in GALLERY)
    others = {"alt_text", "save"}
    drawn = {name for name in metaan.plot.__all__ if not name.endswith("_table")} - others
    assert {name for name in drawn if f"plot.{name}(" not in text} == set()


def test_every_figure_has_a_table():
    drawn = {name for name in metaan.plot.__all__ if not name.endswith("_table")} - {"alt_text", "save", "to_html"}
    assert {name for name in drawn if f"{name}_table" not in metaan.plot.__all__} == set()
