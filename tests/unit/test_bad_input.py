"""Bad input raises the typed error that names the study or the option."""

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError, OptionError

STUDIES = ["Adams", "Baker", "Clark"]


def size(events, total, **kwargs):
    return metaan.effect_size("PLO", events=events, total=total, study=STUDIES, **kwargs)


def exact(events, total, **kwargs):
    return metaan.glmm("PLO", events=events, total=total, study=STUDIES, **kwargs)


@pytest.mark.parametrize("function", [size, exact])
@pytest.mark.parametrize(
    ("events", "total", "what"),
    [
        ([1, 12, 3], [10, 11, 12], "exceeds total"),
        ([1, -2, 3], [10, 11, 12], "negative"),
        ([1, 2.5, 3], [10, 11, 12], "whole number"),
        ([1, 2, 3], [10, 11.5, 12], "whole number"),
        ([1, np.nan, 3], [10, 11, 12], "missing"),
        ([1, None, 3], [10, 11, 12], "missing"),
        ([1, pd.NA, 3], [10, 11, 12], "missing"),
        ([1, np.inf, 3], [10, 11, 12], "infinite"),
        ([1, 0, 3], [10, 0, 12], "at least 1"),
    ],
)
def test_impossible_counts_name_the_study(function, events, total, what):
    with pytest.raises(DataError, match=what) as error:
        function(events, total)
    assert "'Baker'" in str(error.value)
    assert "'Adams'" not in str(error.value)


@pytest.mark.parametrize(
    ("events", "said"),
    [([1, 12, 3], "study 'Baker' (got 12 and 11)."), ([1, 12, 13], "'Clark' (got 12 and 11 in the first of them).")],
)
def test_impossible_counts_are_shown(events, said):
    with pytest.raises(DataError, match="events exceeds total") as error:
        exact(events, [10, 11, 12])
    assert str(error.value).endswith(said)


@pytest.mark.parametrize("function", [size, exact])
@pytest.mark.parametrize("bad", ["3", b"3", 3 + 1j, object()])
def test_what_is_not_a_number(function, bad):
    with pytest.raises(DataError, match="not a number"):
        function([1, bad, 3], [10, 11, 12])


def test_truth_values_are_not_counts():
    with pytest.raises(DataError, match="not a number"):
        exact(np.array([True, False, True]), [1, 1, 1])


@pytest.mark.parametrize("function", [size, exact])
def test_lengths_that_differ(function):
    with pytest.raises(InputError, match="Lengths differ: events has 2, total has 3"):
        function([1, 2], [10, 11, 12])


def test_labels_that_differ_in_number():
    with pytest.raises(InputError, match="3 labels for 2 studies"):
        size([1, 2], [10, 11])


def test_empty():
    with pytest.raises(InputError, match="No studies"):
        metaan.effect_size("PLO", events=[], total=[])
    with pytest.raises(InputError, match="No studies"):
        metaan.glmm("PLO", events=[], total=[])
    with pytest.raises(InputError, match="No studies"):
        metaan.effects([], [])


def test_two_dimensions():
    with pytest.raises(InputError, match="one-dimensional"):
        metaan.effects([[0.1, 0.2]], [[0.1, 0.2]])


def test_unknown_column_names_the_closest():
    table = pd.DataFrame({"events": [1, 2], "total": [10, 10]})
    with pytest.raises(InputError, match="Did you mean 'events'"):
        metaan.glmm("PLO", table, events="event", total="total")
    with pytest.raises(InputError, match="no data were given"):
        metaan.glmm("PLO", events="events", total=[10])


@pytest.mark.parametrize(
    ("vi", "what"),
    [(0.0, "positive"), (-0.2, "positive"), (np.nan, "missing"), (np.inf, "infinite")],
)
def test_variances_that_are_not_positive_numbers(vi, what):
    with pytest.raises(DataError, match=what) as error:
        metaan.effects([0.1, 0.2, 0.3], [0.1, vi, 0.1], study=STUDIES)
    assert "'Baker'" in str(error.value)


def test_variance_or_standard_error_not_both():
    for kwargs in ({}, {"vi": [0.1], "sei": [0.3]}):
        with pytest.raises(InputError, match="one of the two"):
            metaan.effects([0.1], **kwargs)


def test_at_most_five_studies_are_listed():
    with pytest.raises(DataError, match="and 7 more"):
        metaan.effect_size("PLO", events=[11] * 12, total=[10] * 12)


@pytest.mark.parametrize(
    ("kwargs", "hint"),
    [
        ({"method": "reml"}, "Did you mean 'REML'"),
        ({"test": "knha"}, "Choose one of z, t, hk, hk-adhoc, kr"),
        ({"pi": "HTS"}, "Did you mean 'hts'"),
        ({"level": 95}, "Did you mean level=0.95"),
        ({"level": 0.05}, "Did you mean level=0.95"),
        ({"level": 0.5}, "between 0.5 and 1"),
        ({"level": "0.95"}, "not a number"),
        ({"level": True}, "not a number"),
        ({"method": None}, "Choose one of"),
        ({"method": ["REML"]}, "Choose one of"),
        ({"method": "DL", "test": "kr"}, "REML"),
        ({"method": "ML", "pi": "kr"}, "REML"),
        ({"weights": [1, 2, 3]}, "GENQ"),
        ({"method": "GENQ"}, "needs weights"),
    ],
)
def test_pool_options(kwargs, hint):
    eff = metaan.effects([0.1, 0.2, 0.4], [0.1, 0.2, 0.1])
    with pytest.raises(OptionError, match=hint):
        metaan.pool(eff, **kwargs)


def test_weights_must_be_positive_and_one_for_each_study():
    eff = metaan.effects([0.1, 0.2, 0.4], [0.1, 0.2, 0.1], study=STUDIES)
    with pytest.raises(DataError, match="'Clark'"):
        metaan.pool(eff, method="GENQ", weights=[1, 2, 0])
    with pytest.raises(InputError, match="2 values for 3 studies"):
        metaan.pool(eff, method="GENQ", weights=[1, 2])


def test_pool_wants_effects():
    with pytest.raises(InputError, match="Effects record, not list"):
        metaan.pool([0.1, 0.2])


@pytest.mark.parametrize(
    "kwargs",
    [
        {"nodes": 0}, {"nodes": 7.0}, {"nodes": True}, {"nodes": 101},
        {"test": "hk"}, {"ci": "lr"}, {"pi": "kr"}, {"level": 95},
    ],
)  # fmt: skip
def test_glmm_options(kwargs):
    with pytest.raises(OptionError):
        metaan.glmm("PLO", events=[1, 2, 3], total=[9, 9, 9], **kwargs)


def test_measures():
    with pytest.raises(OptionError, match="Did you mean 'PLO'"):
        metaan.effect_size("PLo", events=[1], total=[2])
    with pytest.raises(OptionError, match="measure='OR'"):
        metaan.glmm("OR", events=[1], total=[2])
    with pytest.raises(OptionError, match="measure='PFT'"):
        metaan.effects([0.1], [0.1], measure="PFT")


def test_tau2_interval_refuses_what_has_none():
    one = metaan.pool(metaan.effects([0.1], [0.1]))
    with pytest.raises(InputError, match="two studies"):
        metaan.tau2_interval(one)
    common = metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1]), method="CE")
    with pytest.raises(OptionError, match="common-effect"):
        metaan.tau2_interval(common)
    exact_fit = metaan.glmm("PLO", events=[1, 4, 3], total=[9, 9, 30])
    with pytest.raises(OptionError, match="use 'PL'"):
        metaan.tau2_interval(exact_fit, method="QP")


def test_errors_are_value_errors_and_share_a_base():
    assert issubclass(OptionError, InputError)
    assert issubclass(DataError, InputError)
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, metaan.errors.MetaanError)


def test_dropping_is_asked_for_and_noted():
    table = pd.DataFrame({"s": STUDIES, "x": [1, None, 3], "n": [10, 11, 12]})
    eff = metaan.effect_size("PLO", table, events="x", total="n", study="s", missing="drop")
    assert eff.study == ("Adams", "Clark")
    assert len(eff.data) == 2
    assert [note.code for note in eff.notes] == ["dropped"]
    assert eff.notes[0].studies == ("Baker",)
    with pytest.raises(InputError, match="No studies are left"):
        metaan.effects([np.nan], [0.1], missing="drop")


def test_patients_and_lesions_are_not_pooled_together():
    table = pd.DataFrame({"x": [1, 2], "n": [9, 9], "unit": ["patient", "lesion"]})
    for function in (metaan.glmm, metaan.effect_size):
        with pytest.raises(DataError, match="one unit at a time"):
            function("PLO", table, events="x", total="n")


def test_masked_values_are_missing():
    with pytest.raises(DataError, match="missing"):
        metaan.effects(np.ma.array([3.0, 4.0, 9.0], mask=[0, 1, 0]), [1.0, 1.0, 1.0])


def test_numbers_beyond_double_precision():
    with pytest.raises(DataError, match="rescale"):
        metaan.effects([1e80, 2e80], [1.0, 1.0])
    with pytest.raises(DataError, match="5 million"):
        metaan.glmm("PLO", events=[10**9], total=[10**10])


def test_kenward_roger_needs_degrees_of_freedom():
    for v in (1e-4, 1e-9, 1e-12):
        with pytest.raises(OptionError, match="degrees of freedom"):
            metaan.pool(metaan.effects([0.1, 0.2], [1.0, v]), test="kr")


def test_profile_interval_and_fixed_nodes_exclude_each_other():
    with pytest.raises(OptionError, match="nodes=None"):
        metaan.glmm("PLO", events=[1, 2, 3], total=[9, 9, 9], nodes=7, ci="profile")
