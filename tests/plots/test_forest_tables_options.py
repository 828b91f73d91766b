"""Options of a forest table: columns, order, risk of bias, marks, the density of true effects."""

import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping
from helpers.figures import effects, rates
from scipy import stats

import metaan
from metaan.errors import OptionError
from metaan.plot import forest, forest_table


def rows(table, kind):
    return table[table["row"] == kind]


def trials(**more):
    data = {"study": ["Ames", "Bo", "Clark", "Davis"], "events": [3, 4, 9, 2], "total": [44, 30, 40, 21]}
    return pd.DataFrame(data | {"year": [2001, 1999, 2010, 1987], "drug": ["b", None, "a", "c"]} | more)


def pooled(**more):
    return metaan.pool(metaan.effect_size("PLO", trials(**more), events="events", total="total", study="study"))


def test_columns_come_from_the_table_the_data_and_the_caller():
    res = pooled(begun=pd.to_datetime(["2001-02-03"] * 3 + [None]), blinded=[True, False, True, True])
    table = forest_table(
        res, left=["year", "drug", {"Begun": "begun"}, "blinded"], right={"Rate": "estimate", "Dose": [4, 8, np.nan, 2]}
    )
    assert table.attrs["left"] == ["study", "year", "drug", "begun", "blinded"]
    assert table.attrs["right"] == ["estimate", "Dose"]
    assert table.attrs["headings"] == {
        "year": "Year", "drug": "Drug", "begun": "Begun", "blinded": "Blinded", "estimate": "Rate", "Dose": "Dose",
    }  # fmt: skip
    studies = rows(table, "study")
    assert studies["year"].tolist() == [2001, 1999, 2010, 1987]
    assert studies["drug"].tolist() == ["b", "", "a", "c"]
    assert studies["begun"].tolist() == ["2001-02-03"] * 3 + [""]
    assert studies["blinded"].tolist() == ["yes", "no", "yes", "yes"]
    np.testing.assert_array_equal(studies["Dose"], [4, 8, np.nan, 2])
    assert rows(table, "pooled")["year"].isna().item()
    assert rows(table, "pooled")["drug"].item() == ""
    forest(table)


def test_columns_follow_their_studies():
    res = pooled()
    table = forest_table(res, sort="estimate", left=["study", {"Given": ["A", "B", "C", "D"]}])
    assert rows(table, "study")[["study", "Given"]].agg("".join, axis=1).str[-1].tolist() == [
        label[0] for label in rows(table, "study")["study"]
    ]


def test_a_column_that_is_called_like_one_of_the_table_does_not_replace_it():
    res = pooled(row=["r1", "r2", "r3", "r4"], scale=[1, 2, 3, 4], weight=["a", "b", "c", "d"])
    table = forest_table(res, left=["row", "scale"], right={"estimate": "estimate", "total": [1, 1, 1, 1]})
    assert set(table["row"]) == {"study", "pooled", "prediction", "statistics", "note"}
    assert (table["scale"] == "rate").all()
    assert rows(table, "study")[table.attrs["left"][1]].tolist() == ["r1", "r2", "r3", "r4"]
    assert rows(table, "study")["total"].tolist() == [44, 30, 40, 21]
    assert table.attrs["headings"][table.attrs["right"][1]] == "total"


def test_totals_of_the_data_stand_beside_effects_as_given():
    eff = metaan.effects([0.1, 0.2, 0.4, 0.3], [0.01] * 4, data=trials(), study="study", measure="HR")
    table = forest_table(metaan.pool(eff), left=["total"], sort="total")
    assert rows(table, "study")["total"].tolist() == [44, 40, 30, 21]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"left": ["yaer"]}, "left: 'yaer' is not a column .* Did you mean 'year'"),
        ({"right": {"Dose": [1, 2]}}, "right: 'Dose' has 2 values for 4 studies"),
        ({"right": {"Dose": 3}}, "'Dose' must be the name of a column or one value"),
        ({"left": "year"}, "left='year' must be a list of columns"),
        ({"left": ["year", "year"]}, "left names 'year' more than once"),
        ({"left": [[1, 2, 3, 4]]}, "values take a heading"),
        ({"sort": "yaer"}, "sort='yaer' is not known.*columns of the data.*Did you mean 'year'"),
        ({"sort": ["Ames", "Bo", "Clark"]}, "sort leaves out 'Davis'"),
        ({"sort": ["Ames", "Bo", "Clark", "Davies"]}, "'Davies' is not the label of a study.*Did you mean 'Davis'"),
        ({"sort": ["Ames", "Ames", "Bo", "Clark"]}, "names 'Ames' more often"),
        ({"sort": "mixed"}, "cannot be compared"),
        ({"group": "durg"}, "group: 'durg' is not a column.*Did you mean 'drug'"),
        ({"prediction": "violin"}, "prediction='violin' is not known"),
        ({"favors": ("a", "b")}, "favors= is not an option of a forest plot. Did you mean 'favours'"),
        ({"favours": "left"}, "favours='left' must be a list"),
        ({"favours": ("left",)}, "must be two texts"),
        ({"reference": 30}, "reference=30 must lie between 0 and 1 for rates. Did you mean 0.3"),
        ({"reference": "x"}, "must be a number on the scale"),
        ({"bands": [(0.2, 0.1, "x")]}, "the lower end comes first"),
        ({"bands": [(0.2, 0.3)]}, "each band is"),
        ({"rob_levels": {"low": "green"}}, "give rob= as well"),
    ],
)
def test_what_is_not_there_is_named_with_the_closest(options, message):
    with pytest.raises(OptionError, match=message):
        forest_table(pooled(mixed=[1, "a", 2, "b"]), **options)


def test_sorted_by_a_column_of_the_data_or_by_hand():
    res = pooled()
    by = {
        "year": ["Davis", "Bo", "Ames", "Clark"], "drug": ["Clark", "Ames", "Davis", "Bo"],
        ("Bo", "Davis", "Ames", "Clark"): ["Bo", "Davis", "Ames", "Clark"],
    }  # fmt: skip
    for sort, order in by.items():
        asked = sort if isinstance(sort, str) else np.array(sort)
        assert rows(forest_table(res, sort=asked), "study")["study"].tolist() == order
    arms = {"events_t": [3, 4], "total_t": [20, 30], "events_c": [6, 7], "total_c": [20, 30], "study": ["A", "B"]}
    table = forest_table(metaan.mantel_haenszel("OR", **arms), sort="total")
    assert rows(table, "study")["study"].tolist() == ["B", "A"]


def test_columns_of_loaded_trials():
    data = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    res = metaan.glmm("PLO", data, events="events", total="total", study="study")
    table = forest_table(res, sort="year", group="agent", left=["year", "events", "total"])
    assert rows(table, "study")["year"].tolist() != sorted(data["year"])
    for _, part in rows(table, "study").groupby("group"):
        assert part["year"].is_monotonic_increasing
    assert set(rows(table, "group")["study"]) == {str(agent) or "Not given" for agent in data["agent"]}


def rob(**domains):
    return pd.DataFrame({"study": ["Davis", "Clark", "Bo", "Ames"]} | domains)


def test_judgements_are_read_in_any_case_and_told_in_a_legend():
    judged = rob(Randomisation=["Low", "HIGH", "some_concerns", "Some concerns"], D2=["low", None, "low", "low"])
    table = forest_table(pooled(), rob=judged.assign(Overall="no information"), footnote=False)
    studies = rows(table, "study")
    assert studies["rob: D1"].tolist() == ["some concerns", "some concerns", "high", "low"]
    assert studies["rob: D2"].tolist() == ["low", "low", "", "low"]
    assert rows(table, "note")["study"].tolist() == [
        "Risk of bias (D1, Randomisation; All, Overall): judgements: low (+), some concerns (−), high (×), "
        "no information (?)."
    ]
    assert table.attrs["spans"]["Risk of bias"] == ["rob: D1", "rob: D2", "rob: All"]
    assert rows(table, "pooled")["rob: D1"].item() == ""
    own = forest_table(pooled(), rob=rob(A=["good", "bad", "Good", "good"]), rob_levels={"Good": "green", "Bad": "red"})
    assert rows(own, "study")["rob: A"].tolist() == ["Good", "Good", "Bad", "Good"]
    assert own.attrs["rob_levels"] == {"Good": "#008000", "Bad": "#ff0000"}


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        (rob(D1=["low", "hgih", "low", "low"]), r"'hgih' \(Clark, D1\) is no judgement.*Did you mean 'high'"),
        (rob(D1=["low", "high", "serious", "low"]), "mixes the judgements of two tools"),
        (rob(D1="low").iloc[:2], "rob has no row for 'Ames', 'Bo'"),
        (rob(D1="low").replace("Clark", "Clarke"), "'Clarke' is not a study of the plot.*Did you mean 'Clark'"),
        (rob(D1="low").replace("Clark", "Bo"), "more than one row for 'Bo'"),
        (rob(), "rob has no domains"),
        ({"D1": ["low"]}, "rob is a dict"),
    ],
)
def test_judgements_that_cannot_be_read(judged, message):
    with pytest.raises(OptionError, match=message):
        forest_table(pooled(), rob=judged)


def test_marks_stand_in_the_attrs():
    marks = {"favours": ("Favours  drug", "Favours none"), "reference": 0.3, "bands": [(0, 0.2, "too low")]}
    attrs = forest_table(pooled(), prediction="band", **marks).attrs
    assert attrs["favours"] == ["Favours drug", "Favours none"]
    assert (attrs["reference"], attrs["bands"], attrs["prediction"]) == (0.3, [[0.0, 0.2, "too low"]], "band")
    assert not {"favours", "reference", "bands", "prediction"} & forest_table(pooled()).attrs.keys()
    ratio = metaan.pool(metaan.effects([0.1, 0.2, 0.4], [0.1] * 3, measure="OR"))
    with pytest.raises(OptionError, match="above 0 for ratios"):
        forest_table(ratio, bands=[(0, 1, "x")])


def mass(density, low, high, *, log=False):
    x, y = (np.array(values) for values in density)
    x, ends = (np.log(x), np.log([low, high])) if log else (x, np.array([low, high]))
    grid = np.linspace(*ends, 20001)
    return np.trapezoid(np.interp(grid, x, y), grid)


@pytest.mark.parametrize("measure", ["PLO", "PAS", "PFT", "PLN", "GEN", "OR", "GLMM", "beta", "bayes", "multilevel"])
def test_the_density_of_true_effects_has_the_prediction_interval_in_its_middle(measure):
    eff = rates(9, rate=0.4, measure=measure if measure.startswith("P") else "PLO")
    counts = {"events": eff.events, "total": eff.total}
    made = {
        "GEN": lambda: metaan.pool(effects(8)), "GLMM": lambda: metaan.glmm("PLO", **counts),
        "OR": lambda: metaan.pool(metaan.effects([0.1, 0.9, 0.4, 1.2], [0.1] * 4, measure="OR")),
        "beta": lambda: metaan.beta_binomial(**counts), "bayes": lambda: metaan.bayes(eff),
        "multilevel": lambda: metaan.multilevel(metaan.effects([0.1, 0.3, 0.5, 0.9] * 2, [0.01] * 8), "study"),
    }  # fmt: skip
    res = made.get(measure, lambda: metaan.pool(eff))()
    table = forest_table(res, prediction="density")
    interval = rows(table, "prediction").iloc[0]
    log = measure == "OR"
    assert mass(table.attrs["density"], interval["low"], interval["high"], log=log) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize("pi", ["t", "hts", "z", "simple", "hk", "kr"])
def test_the_density_is_that_of_the_prediction_interval(pi):
    res = metaan.pool(effects(8), pi=pi)
    x, y = (np.array(values) for values in forest_table(res, prediction="density").attrs["density"])
    kr = metaan.pool(effects(8), test="kr")
    df = {"t": 7, "hts": 6, "hk": 6, "kr": kr.df - 1}.get(pi, np.inf)
    spread = (res.pi_high - res.estimate) / stats.t.ppf(0.975, df)
    np.testing.assert_allclose(y, stats.t.pdf((x - res.estimate) / spread, df) / spread, rtol=1e-9)


def test_no_density_without_a_distribution():
    with pytest.raises(OptionError, match="bootstrap interval keeps no density"):
        forest_table(metaan.pool(effects(6), pi="bootstrap", draws=100, seed=1), prediction="density")
    with pytest.raises(OptionError, match="for one pooled result"):
        forest_table({"a": metaan.pool(effects(6))}, prediction="density")
    for res in (metaan.pool(rates(2)), metaan.pool(effects(4), method="CE", test="z")):
        assert "density" not in forest_table(res, prediction="density").attrs
    flat = metaan.beta_binomial(events=[5, 6, 5], total=[20, 20, 20])
    assert "density" not in forest_table(flat, prediction="density").attrs
    sub = metaan.subgroups(rates(9), by=list("abcabcabc"))
    assert len(forest_table(sub, prediction="density").attrs["density"]) == 2
