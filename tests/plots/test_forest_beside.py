"""Outcomes side by side: the same rows in every plot, bars of the categories among them."""

import numpy as np
import pandas as pd
import pytest
from helpers.figures import LONG, assert_legible, drawn, rates, texts

import metaan
from metaan.errors import OptionError
from metaan.plot import categories_table, forest_table, forests, forests_table


def counts(k=4, seed=3):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.integers(1, 20, (k, 4)), columns=["cr", "pr", "sd", "pd"])
    return frame.assign(study=[f"Study {i}" for i in range(k)], total=frame.sum(axis=1))


def two(**options):
    frame = counts()
    complete = metaan.glmm("PLO", frame, events="cr", total="total", study="study")
    later = frame.iloc[1:].assign(study=["Study 1", "Study 3", "New"], events=frame["cr"] + frame["pr"])
    response = metaan.glmm("PLO", later, events="events", total="total", study="study")
    return {"Complete": complete, "Any response": response}, options


def test_every_table_has_the_rows_of_all():
    tables = forests_table(two()[0], footnote=False)
    body = [t.loc[t["row"].isin(["study", "pooled", "prediction"]), "study"].tolist() for t in tables.values()]
    assert body[0] == body[1]
    assert body[0][:5] == ["Study 0", "Study 1", "Study 2", "Study 3", "New"]
    any_response = tables["Any response"].set_index("study")
    assert any_response.loc[["Study 0", "Study 2"], "estimate"].isna().all()
    alone = forest_table(two()[0]["Any response"]).set_index("study")
    for name in ("Study 1", "Study 3", "New", "Pooled rate (median study)"):
        assert any_response.loc[name, "estimate"] == alone.loc[name, "estimate"]


def test_studies_are_named_once_and_stand_at_one_height():
    axes = forests(two()[0], footnote=False)
    assert axes.shape == (2,)
    said = [[text.get_text() for text in ax.texts] for ax in axes]
    assert said[0].count("Study 3") == 1
    assert "Study 3" not in said[1]
    assert "Any response" in said[1]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    (left,), (right,) = (drawn(ax, "_squares") for ax in axes)
    rows = dict(zip(["Study 0", "Study 1", "Study 2", "Study 3"], left.get_offsets()[:, 1], strict=True))
    np.testing.assert_allclose(right.get_offsets()[:2, 1], [rows["Study 1"], rows["Study 3"]])
    boxes = [ax.get_position() for ax in axes]
    assert boxes[0].y0 == pytest.approx(boxes[1].y0)
    assert boxes[0].x1 < boxes[1].x0


@pytest.mark.parametrize("style", ["default", "jama", "revman"])
def test_three_outcomes_are_legible(style):
    results = {"First": metaan.pool(rates(12)), "Second": metaan.pool(rates(12, seed=2)), LONG: metaan.pool(rates(5))}
    axes = forests(results, style=style, title="Three outcomes")
    assert_legible(axes[0])


def test_bars_end_where_the_table_says_in_the_rows_of_the_studies():
    results, _ = two()
    made = metaan.categories(counts())
    axes = forests({"Complete": results["Complete"], "All": made}, footnote=False)
    assert_legible(axes[0])
    table = categories_table(made, sort="given")
    (squares,) = drawn(axes[0], "_squares")
    for name in ("cr", "pd"):
        bars = sorted(drawn(axes[1], f"_{name}"), key=lambda bar: bar.get_y())
        part = table[table["category"] == name]
        np.testing.assert_allclose([bar.get_x() for bar in bars], part["start"], atol=1e-12)
        np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in bars], part["end"], atol=1e-12)
        middle = [bar.get_y() + bar.get_height() / 2 for bar in bars]
        np.testing.assert_allclose(middle[:-1], squares.get_offsets()[:, 1])
    totals = [text.get_text() for text in axes[1].texts]
    assert [f"{n}" for n in counts()["total"]] == [text for text in totals if text.isdigit()][:4]
    key = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert key == ["Complete response", "Partial response", "Stable disease", "Progressive disease"]


def test_a_table_of_bars_is_drawn_as_it_is():
    results, _ = two()
    table = categories_table(metaan.categories(counts()), sort="given")
    again = forests({"a": forest_table(results["Complete"]), "b": table})
    first = forests({"a": results["Complete"], "b": metaan.categories(counts())})
    assert [text for text, _ in texts(again[0])] == [text for text, _ in texts(first[0])]


def test_the_notes_of_all_stand_under_the_first_without_repeats():
    axes = forests(two()[0])
    said = [text.get_text() for text in axes[0].texts]
    notes = [text for text in said if text.startswith("Intervals of the studies")]
    assert len(notes) == 1
    assert not [text.get_text() for text in axes[1].texts if text.get_text().startswith("Intervals of")]


def test_what_cannot_stand_side_by_side_is_refused():
    results, _ = two()
    with pytest.raises(OptionError, match="two outcomes or more"):
        forests({"Complete": results["Complete"]})
    with pytest.raises(OptionError, match="put a forest plot before the bars"):
        forests({"a": metaan.categories(counts()), "b": results["Complete"]})
    sub = metaan.subgroups(rates(6), by=["a", "a", "a", "b", "b", "b"])
    with pytest.raises(OptionError, match="'b' has subgroups"):
        forests({"a": results["Complete"], "b": sub})
    with pytest.raises(OptionError, match="pass them to forest_table"):
        forests({"a": forest_table(results["Complete"]), "b": results["Any response"]}, sort="label")
