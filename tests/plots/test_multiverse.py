"""The specification curve shows the table of the multiverse."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import assert_legible, drawn

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import multiverse, multiverse_table

A = pd.DataFrame({"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]})


@pytest.fixture(scope="module")
def result():
    return metaan.multiverse(A, methods=["REML", "DL"])


@pytest.fixture(scope="module")
def units():
    trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    few = {"counts": "derived", "denominators": "evaluable", "overlaps": "prefer_largest"}
    return metaan.multiverse(trials, units=["lesion", "patient"], methods=["REML", "DL"], **few)


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def ranks(ax, label):
    """Ranks that the bars of one row cover."""
    found = []
    for bars in drawn(ax, label):
        for path in bars.get_paths():
            x = path.vertices[:, 0]
            found += np.arange(x.min() + 0.5, x.max()).tolist()
    return sorted(found)


def test_estimates_and_intervals_stand_where_the_table_says(result):
    above, _ = multiverse(result)[:, 0]
    table = multiverse_table(result)
    x, y = only(above, "_estimates").get_offsets().T
    np.testing.assert_array_equal(x, table["rank"])
    np.testing.assert_allclose(y, table["estimate"], rtol=1e-14)
    segments = np.array(only(above, "_intervals").get_segments())
    np.testing.assert_allclose(segments[:, 0, 1], table["ci_low"], rtol=1e-14)
    np.testing.assert_allclose(segments[:, 1, 1], table["ci_high"], rtol=1e-14)
    low, high = above.get_ylim()
    assert low <= table["ci_low"].min()
    assert table["ci_high"].max() <= high
    assert above.get_ylabel() == "Rate (%)"


def test_the_median_and_the_threshold_are_lines(result):
    above = multiverse(result, threshold=0.1)[0, 0]
    table = multiverse_table(result)
    assert only(above, "_median").get_segments()[0][:, 1].tolist() == [table["estimate"].median()] * 2
    assert only(above, "_threshold").get_segments()[0][:, 1].tolist() == [0.1] * 2
    said = [text.get_text() for text in above.texts]
    row = result.summary(threshold=0.1).iloc[0]
    assert said == [
        f"{result.analyses} analyses",
        f"median {100 * row['median']:.1f} %",
        f"above 10 %: {100 * row['share_above']:.0f} % (whole CI {100 * row['share_ci_above']:.0f} %)",
    ]
    assert not drawn(multiverse(result, threshold=0.99)[0, 0], "_threshold")  # beyond the axis


def test_each_row_marks_the_analyses_that_have_its_level(result):
    _, below = multiverse(result, colour="measure")[:, 0]
    table = multiverse_table(result)
    marked = 0
    for name, levels in result.choices.items():
        for level in levels:
            expected = table.loc[table[name] == level, "rank"].tolist() if len(levels) > 1 else []
            assert ranks(below, f"_{name}={level}") == expected, (name, level)
            marked += len(expected)
    assert marked == len(result.varied) * len(table)
    assert below.get_xlim() == multiverse(result)[0, 0].get_xlim()


def test_marks_have_the_colour_of_their_level_and_so_has_its_name(result):
    above, below = multiverse(result, colour="model")[:, 0]
    table = multiverse_table(result)
    palette = dict(zip(["beta-binomial", "glmm", "normal"], sns.color_palette("colorblind"), strict=False))
    colours = only(above, "_estimates").get_facecolor()[:, :3]
    np.testing.assert_allclose(colours, [palette[model] for model in table["model"]])
    for model, word in (("glmm", "GLMM"), ("normal", "inverse variance"), ("beta-binomial", "beta-binomial")):
        np.testing.assert_allclose(only(below, f"_model={model}").get_facecolor()[0][:3], palette[model])
        tick = next(tick for tick in below.get_yticklabels() if tick.get_text() == word)
        assert tick.get_color() == palette[model]


def test_rows_are_named_and_levels_stand_by_their_mean_estimate(result):
    below = multiverse(result)[1, 0]
    table = multiverse_table(result)
    names = [tick.get_text() for tick in below.get_yticklabels()]
    scale = {
        "PLO": "logit",
        "PAS": "arcsine",
        "PFT": "double arcsine",
        "PLN": "log",
        "PROBIT": "probit",
        "CLOGLOG": "cloglog",
    }
    order = [scale[code] for code in table.groupby("measure")["estimate"].mean().sort_values().index]
    assert [name for name in names if name in order] == order
    assert [text.get_text() for text in below.texts] == ["Model", "Scale", "Correction", "τ² by", "Interval"]
    assert len(names) == sum(len(result.choices[name]) for name in result.varied)


@pytest.mark.parametrize("colour", ["model", "test"])
def test_one_unit_fits_a_column_and_can_be_read(result, colour):
    axes = multiverse(result, colour=colour)
    assert axes.shape == (2, 1)
    assert_legible(axes[0, 0])
    assert axes[0, 0].figure.get_figwidth() <= 89 / 25.4 + 0.01
    sizes = {text.get_fontsize() for ax in axes.flat for text in [*ax.texts, *ax.get_yticklabels()]}
    assert min(sizes) >= 7


def test_units_stand_side_by_side_on_one_scale(units):
    axes = multiverse(units, ylabel="Complete response (%)")
    assert axes.shape == (2, 2)
    assert_legible(axes[0, 0])
    assert axes[0, 0].get_ylim() == axes[0, 1].get_ylim()
    heads = [ax.texts[0].get_text() for ax in axes[0]]
    assert heads == [f"Per {row.unit}: {row.analyses - row.failed} analyses" for row in units.summary().itertuples()]
    assert axes[0, 0].figure.get_figwidth() <= 183 / 25.4
    boxes = [ax.get_position() for ax in axes[0]]
    assert boxes[0].x1 < boxes[1].x0
    mixed = multiverse(units, mixed=True, colour="unit")
    assert mixed.shape == (2, 1)
    assert_legible(mixed[0, 0])
    assert drawn(mixed[1, 0], "_unit=lesion")


def test_a_part_of_the_table_can_be_drawn(result):
    table = multiverse_table(result).query("model == 'glmm'")
    table["rank"] = range(1, len(table) + 1)
    axes = multiverse(table, colour="measure")
    assert len(only(axes[0, 0], "_estimates").get_offsets()) == len(table)
    assert_legible(axes[0, 0])


def test_effects_and_single_analyses_can_be_drawn():
    ratios = metaan.multiverse(metaan.effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01], measure="OR"))
    above = multiverse(ratios, colour="method")[0, 0]
    assert above.get_yscale() == "log"
    assert only(above, "_threshold").get_segments()[0][0, 1] == 1
    assert_legible(above)
    lone = metaan.multiverse(A, models="glmm", links="logit", tests="z")
    axes = multiverse(lone)
    assert_legible(axes[0, 0])
    assert axes[0, 0].texts[0].get_text() == "1 analysis"


def test_other_rcparams_are_followed_and_left_as_they_are(result):
    with mpl.rc_context({"font.size": 11.0}):
        before = dict(mpl.rcParams)
        axes = multiverse(result)
        assert dict(mpl.rcParams) == before
        assert_legible(axes[0, 0])
        assert axes[1, 0].get_yticklabels()[0].get_fontsize() == 11


def test_it_can_be_saved(result, tmp_path):
    metaan.plot.save(multiverse(result)[0, 0], tmp_path / "m.svg", tmp_path / "m.png")
    assert "Analyses, lowest estimate first" in (tmp_path / "m.svg").read_text(encoding="utf-8")


def test_what_cannot_be_drawn_is_refused(result):
    with pytest.raises(InputError, match=r"Pass what metaan\.multiverse returned"):
        multiverse_table(A)
    with pytest.raises(InputError, match="Pass what multiverse"):
        multiverse(3)
    with pytest.raises(InputError, match="lacks rank"):
        multiverse(A)
    with pytest.raises(InputError, match="no rows"):
        multiverse(multiverse_table(result).iloc[:0])
    with pytest.raises(OptionError, match="no choice of this multiverse: model"):
        multiverse(result, colour="year")
