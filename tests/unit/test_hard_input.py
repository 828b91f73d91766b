"""Numbers at the ends of what is possible, and frames that were changed: an error that says so, or an answer."""

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.core.posterior import tau_range
from metaan.errors import DataError, InputError, OptionError, listed, shown

OUTCOMES = ["complete_response", "partial_response", "no_response"]
LONG = pd.DataFrame({"study": "Ames", "outcome": OUTCOMES, "events": [3, 2, 5], "total": 10})


@pytest.mark.parametrize("bad", ["two", float("inf"), -1, 10**400, b"2", object()])
@pytest.mark.parametrize("column", ["events", "total"])
def test_cells_that_are_no_counts(column, bad):
    spoilt = LONG.assign(**{column: pd.Series([bad, *LONG[column].tolist()[1:]], dtype=object)})
    with pytest.raises(DataError, match=column):
        metaan.response_table(spoilt, split="three")


def test_a_missing_count_follows_from_the_others():
    spoilt = LONG.assign(events=pd.Series([None, 2, 5], dtype=object))
    assert metaan.response_table(spoilt, split="three")[["cr", "pr", "nr"]].to_numpy().tolist() == [[3, 2, 5]]


def test_columns_that_stand_twice():
    twice = pd.concat([LONG, LONG[["events"]]], axis=1)
    with pytest.raises(InputError, match="several columns 'events'"):
        metaan.response_table(twice, split="three")
    rows = pd.DataFrame({"x": [1, 2], "n": [9, 9], "unit": ["lesion", "patient"]})
    with pytest.raises(InputError, match="several columns 'unit'"):
        metaan.glmm("PLO", pd.concat([rows, rows[["unit"]]], axis=1), events="x", total="n")


@pytest.mark.parametrize(
    ("columns", "whole"), [(("cr", "pr", "or"), "or"), (("cr", "pr", "sd", "nr"), "nr"), (("pr", "or"), "or")]
)
def test_a_category_and_its_part(columns, whole):
    table = pd.DataFrame({name: [3, 2, 4] for name in columns})
    with pytest.raises(InputError, match=f"holds '{whole}', which contains"):
        metaan.categories(table, columns=columns)


def test_categories_that_exclude_each_other():
    table = pd.DataFrame({"or": [5, 6, 3], "nr": [7, 5, 9]})
    assert metaan.categories(table, columns=("or", "nr")).k == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1, "0.5", None, True, 10**400])
def test_rates_asked_of_a_prediction(bad):
    forecast = metaan.predictive(metaan.glmm("PLO", events=[3, 5, 7], total=[20, 21, 22]), 20)
    for ask in (forecast.prob_exceeds, forecast.true_rate_exceeds):
        with pytest.raises(InputError, match="rate"):
            ask(bad)


@pytest.mark.parametrize("events", [[0] * 5, [10, 12, 20, 9, 8]])
def test_no_events_or_nothing_but_events_beside_a_moderator(events):
    table = pd.DataFrame({"x": events, "n": [10, 12, 20, 9, 8], "year": range(5)})
    fit = metaan.beta_binomial(table, events="x", total="n", formula="~ year")
    assert np.isinf(fit.estimate).all()
    assert "separated" in {note.code for note in fit.notes}


def apart(seed):
    """Estimates in groups whose variances span up to 28 orders of magnitude, with correlated sampling errors."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(3, 20))
    width = float(rng.choice([18, 24, 28]))
    rows = pd.DataFrame({"v": 10 ** rng.uniform(-width / 2, width / 2, k)})
    rows = rows.assign(y=rng.normal(size=k) * 10 ** rng.uniform(-3, 3), g=rng.integers(0, max(2, k // 3), k))
    eff = metaan.effects("y", "v", data=rows)
    return eff, metaan.sampling_covariance(eff, cluster="g", correlation=0.6)


def test_variances_beyond_double_precision():
    said = []
    for seed in range(40):
        eff, covariance = apart(seed)
        try:
            metaan.multilevel(eff, "g/estimate", vcov=covariance)
        except InputError as error:
            said.append(str(error))
    assert sum("orders of magnitude apart for double precision" in text for text in said) >= 1


def two_peaks(width):
    """An improper prior of tau: level, with two narrow peaks far apart that the data weigh about alike."""

    def density(tau):
        log = np.log(tau)
        peaks = sum(np.exp(-(((log - at) / width) ** 2)) for at in (-5.0, 9.0))
        return 1e30 * peaks + 1e-30

    return density


EFF = metaan.effects([0.1, 0.3, -0.2, 0.6], [0.1, 0.2, 0.15, 0.3])


@pytest.mark.parametrize("width", [0.05, 0.2])
def test_a_prior_of_two_peaks_is_answered(width):
    """Nearly all of the posterior is at the lower peak, tau = exp(-5)."""
    res = metaan.bayes(EFF, tau_prior=two_peaks(width))
    assert res.tau == pytest.approx(np.exp(-5), rel=0.05)
    assert res.estimate == pytest.approx(metaan.pool(EFF, method="CE").estimate, rel=1e-3)


def test_peaks_that_no_grid_resolves_end_the_search_too():
    def at_the_ends(tau):
        return np.where(np.isin(np.arange(tau.size), [0, tau.size - 1]), 0.0, -1e3)

    where = tau_range(at_the_ends, 1.0, (0.0, 1.0), -9.0)
    assert where.low < where.high


def test_weights_whose_sum_is_no_number():
    with pytest.raises(DataError, match="below 1e"):
        metaan.pool(EFF, method="GENQ", weights=[1e308] * 4)


@pytest.mark.parametrize("reference", [None, np.nan, 0, "c", ["a"], object()])
@pytest.mark.parametrize("adjust", ["holm", "tukey", None, 3])
def test_contrasts_of_what_is_not_there(reference, adjust):
    sub = metaan.subgroups(EFF, ["a", "a", "b", "b"])
    if reference is None and adjust == "holm":
        assert len(sub.contrasts(reference=reference, adjust=adjust).table) == 1
        return
    with pytest.raises((OptionError, InputError)):
        sub.contrasts(reference=reference, adjust=adjust)


def test_adjusted_by_holm_as_statsmodels_does():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(4)
    eff = metaan.effects(rng.normal(size=15), np.full(15, 0.2))
    table = metaan.subgroups(eff, list("abcde") * 3).contrasts().table
    expected = multipletests(table["pvalue"], method="holm")[1]
    np.testing.assert_allclose(table["pvalue_adjusted"], expected, rtol=1e-14)


def test_values_in_messages_are_short_and_always_printable():
    class Unprintable:
        def __repr__(self):
            raise RuntimeError("no text")

    assert shown("a") == "'a'"
    assert shown(Unprintable()) == "<Unprintable>"
    assert shown(10**5000) == "<int>"
    assert len(shown("x" * 10_000)) == 200
    assert "\n" not in shown(pd.DataFrame({"a": [1, 2]}))
    assert listed([Unprintable(), "b"]) == "'<Unprintable>', 'b'"
    with pytest.raises(OptionError, match="<Unprintable> is not known"):
        metaan.pool(EFF, method=Unprintable())


def test_a_heading_that_read_gave_another_name():
    trials = metaan.read(pd.DataFrame({"study": ["A", "B"], "responders": [3, 4], "patients": [20, 30]}))
    message = r"events='responders' is not a column.* Did you mean 'events'\? metaan.read gives the columns"
    with pytest.raises(InputError, match=message):
        metaan.glmm("PLO", trials, events="responders", total="patients")
