"""Figures in files: text stays text, the same figure gives the same bytes."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from helpers.figures import rates

import metaan
from metaan.errors import OptionError
from metaan.plot import forest, forest_table, save

SVG = "{http://www.w3.org/2000/svg}"


def test_png_has_the_size_of_the_figure_at_the_resolution(tmp_path):
    ax = forest(metaan.pool(rates(3)))
    save(ax, tmp_path / "forest.png", dpi=50)
    pixels = plt.imread(tmp_path / "forest.png")
    width, height = ax.figure.get_size_inches() * 50
    assert pixels.shape[:2] == (int(height), int(width))
    assert pixels.min() == 0  # something was drawn


def test_svg_holds_text_in_faces_of_one_width(tmp_path):
    eff = rates(12)
    save(forest(metaan.pool(eff)), tmp_path / "forest.svg")
    found = list(ET.parse(tmp_path / "forest.svg").getroot().iter(f"{SVG}text"))
    assert set(eff.study) <= {text.text for text in found}
    for text in found:
        assert {"Arial", "Helvetica", "Liberation Sans"} <= set(re.findall("'(.*?)'", text.get("style")))
        assert "sans-serif" in text.get("style")


def test_pdf_embeds_truetype(tmp_path):
    save(forest(metaan.pool(rates(3))), tmp_path / "forest.pdf")
    written = (tmp_path / "forest.pdf").read_bytes()
    assert b"/CIDFontType2" in written or b"/TrueType" in written
    assert b"/Type3" not in written


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_the_figure_depends_on_the_table_alone(tmp_path, suffix):
    res = metaan.pool(rates(12))
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    save(forest(res, sort="weight", interval="wilson", title="Title"), first)
    save(forest(forest_table(res, sort="weight", interval="wilson"), title="Title"), second)
    assert first.read_bytes() == second.read_bytes()


def test_several_files_at_once_and_settings_as_before(tmp_path):
    before = dict(mpl.rcParams)
    save(forest(metaan.pool(rates(3))), tmp_path / "a.png", str(tmp_path / "b.SVG"), tmp_path / "c.eps")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.SVG", "c.eps"]
    assert dict(mpl.rcParams) == before


def test_files_that_cannot_be_written_are_refused_before_any_is(tmp_path):
    ax = forest(metaan.pool(rates(3)))
    with pytest.raises(OptionError, match=r"'b.doc' has no known suffix. Choose one of .*png"):
        save(ax, tmp_path / "a.png", tmp_path / "b.doc")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OptionError, match="at least one path"):
        save(ax)


def test_a_removed_axes_has_no_figure_to_write(tmp_path):
    ax = forest(metaan.pool(rates(3)))
    ax.remove()
    with pytest.raises(OptionError, match="belongs to no figure"):
        save(ax, tmp_path / "a.png")


def test_metaan_plot_imports_no_figure_library_until_it_draws():
    code = "import sys, metaan.plot; print(*sorted({'matplotlib', 'seaborn', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
