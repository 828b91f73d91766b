"""Whatever is passed in, the answer is a result or an error of metaan that can be read; never a crash, never a hang."""

import copy
import functools
import math
import warnings

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.errors import MetaanError, MetaanWarning


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no text")

    __str__ = __repr__


class Incomparable:
    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError("no comparison")


class Endless:
    def __iter__(self):
        raise RuntimeError("no values")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=8),
    st.binary(max_size=4), st.decimals(), st.dates(),
    st.sampled_from([10**400, 10**5000, -math.inf, pd.NA, pd.NaT, "\ud800", "x" * 10_000, int, len, np.float32(2)]),
    st.builds(Unprintable), st.builds(Incomparable), st.builds(Endless),
)  # fmt: skip
ARRAYS = st.sampled_from([
    np.zeros((3, 2)), np.array(5), np.array([]), np.array([1j, 2, 3]), np.array([1, None, "a"], dtype=object),
    np.array(["2020-01-01"] * 3, dtype="M8[D]"), np.zeros(3, dtype=[("a", int)]), np.ma.masked, np.full(3, 1e308),
    pd.Series([1, 2, 3], index=[0, 0, 0]), pd.DataFrame(), pd.DataFrame({"a": [1]}), pd.Index(list("abc")),
    pd.DataFrame([[1, 2]] * 3, columns=["a", "a"]), pd.Categorical(["a", "b", "a"]),
])  # fmt: skip
HOSTILE = st.one_of(
    SCALARS, ARRAYS, st.lists(SCALARS, max_size=3), st.lists(SCALARS, min_size=3, max_size=3),
    st.lists(st.lists(SCALARS, max_size=2), max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=2),
)  # fmt: skip

ECT = {"name": "electrochemotherapy", "outcome": "complete_response", "unit": "lesion", "overlaps": "prefer_largest"}
OR = {"events_t": [3, 5, 7], "total_t": [20, 21, 22], "events_c": [6, 7, 8], "total_c": [20, 19, 22]}
THREE = {"yi": [0.3, 0.5, 0.7], "vi": [0.1, 0.2, 0.3]}
COUNTS = {"events": [3, 5, 7], "total": [20, 21, 22]}


@functools.cache
def trials():
    return metaan.load(**ECT)


@functools.cache
def made(name):
    return {
        "effects": lambda: metaan.effects(**THREE),
        "odds": lambda: metaan.effect_size("OR", **OR),
        "fit": lambda: metaan.glmm("PLO", **COUNTS),
    }[name]()


# Function, arguments that are right (a callable: made when needed), names of further ones.
CASES = {
    "load": (ECT, "therapy site scope primary_tumour design agent role counts confidence arms preferred"),
    "explain": ({"trials": trials}, ""),
    "overlaps": ({"trials": trials}, ""),
    "cite": ({"trials": trials}, "style"),
    "provenance": ({"study_id": "leonard2001"}, ""),
    "conflicts": ({}, "name"),
    "denominators": ({"trials": trials, "policy": "itt"}, "most_missing"),
    "published": ({}, "review"),
    "response_table": (
        {"trials": "topical", "unit": "patient", "overlaps": "prefer_largest"}, "split remainder short scope else_"
    ),
    "design_effect": ({"trials": trials, "icc": 0.1, "cluster_size": 3.0}, ""),
    "counts_from_percentage": ({"pct": "33.3", "max_total": 50}, "total decimals ci ci_method level"),
    "check_percentage": ({**COUNTS, "pct": ["15", "23.8", "32"]}, "data decimals study"),
    "tables_from_percentages": ({"pct_t": "33", "pct_c": "25", "total": 20}, "total_t max_total events decimals"),
    "se_from_ci": ({"low": [0.6, 0.5, 0.4], "high": [1.2, 1.1, 1.5]}, "estimate scale level df study measure"),
    "se_from_pvalue": ({"estimate": [0.6, 0.5, 0.4], "pvalue": [0.1, 0.2, 0.3]}, "scale df two_sided study measure"),
    "hazard_ratio_from_ci": ({"hr": [0.8, 0.7], "low": [0.6, 0.5], "high": [1.2, 1.1]}, "level study"),
    "hazard_ratio_from_events": ({"o_minus_e": [-2.0, 1.0], "variance": [4.0, 5.0]}, "study observed_t"),
    "hazard_ratio_from_logrank": (
        {"pvalue": [0.1, 0.2], "events_t": [9, 12], "events_c": [14, 12], "favours": "treatment"}, "events study"
    ),
    "hazard_ratio_from_medians": (
        {"median_t": [10.0, 12.0], "median_c": [8.0, 9.0], "events_t": [10, 12], "events_c": [14, 12]}, "study"
    ),
    "convert_effects": ({"eff": lambda: made("odds"), "to": "SMD"}, ""),
    "rate_interval": (COUNTS, "interval level"),
    "effect_size": ({"measure": "PLO", **COUNTS}, "data study correction add variance bias missing else_ events_t"),
    "effects": (THREE, "sei study measure data missing"),
    "pool": ({"eff": lambda: made("effects")}, "method test level pi weights draws seed"),
    "glmm": ({"measure": "PLO", **COUNTS}, "data study formula model link nodes test ci level pi missing else_"),
    "categories": ({"data": None, "columns": {"cr": [3, 2, 1], "pr": [2, 2, 5], "nr": [9, 8, 7]}}, "study model test"),
    "predictive": ({"res": lambda: made("fit"), "n": 20}, "uncertainty level target"),
}  # fmt: skip


def answers(function, *args, **kwargs):
    """A result that can be printed, or an error of metaan with a message of readable length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaanWarning)
        try:
            got = function(*args, **kwargs)
            said = "a frame" if isinstance(got, pd.DataFrame) else str(got)[:1]  # pandas cannot print every cell
        except MetaanError as error:
            said = str(error)
    assert 0 < len(said) < 2500


@settings(max_examples=350)
@given(st.data())
def test_one_or_two_arguments_are_nonsense(data):
    name = data.draw(st.sampled_from(sorted(CASES)))
    right, further = CASES[name]
    given_ = {key: value() if callable(value) else value for key, value in right.items()}
    names = data.draw(st.lists(st.sampled_from([*right, *further.split()]), min_size=1, max_size=2, unique=True))
    answers(getattr(metaan, name), **given_ | {key: data.draw(HOSTILE) for key in names})


READERS = {
    "explain": metaan.explain,
    "overlaps": metaan.overlaps,
    "cite": metaan.cite,
    "denominators": functools.partial(metaan.denominators, policy="itt"),
    "design_effect": functools.partial(metaan.design_effect, icc=0.1, cluster_size=2),
    "response_table": metaan.response_table,
    "pool": lambda rows: metaan.pool(metaan.effect_size("PLO", rows, events="events", total="total", study="study")),
}
COLUMNS = "study study_id year arm unit outcome events total n_patients n_lesions row source source_kind response_scope"


def spoilt(data, frame):
    """A frame of `load` with one thing wrong."""
    frame = frame.copy()
    name = data.draw(st.sampled_from(COLUMNS.split()))
    how = data.draw(st.sampled_from(["cell", "column", "drop", "rename", "twice", "index", "levels", "few", "record"]))
    attrs = copy.deepcopy(frame.attrs)
    if how in ("cell", "column"):
        wrong = data.draw(SCALARS)
        values = [wrong] * len(frame) if how == "column" else [wrong, *frame[name].tolist()[1:]]
        frame[name] = pd.Series(values, index=frame.index, dtype=object)
    elif how == "record":
        inner = attrs["metaan"]["selection"]
        record = data.draw(st.sampled_from([attrs, attrs["metaan"], inner]))
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(HOSTILE)
    else:
        frame = {
            "drop": lambda: frame.drop(columns=name),
            "rename": lambda: frame.rename(columns={name: "other"}),
            "twice": lambda: pd.concat([frame, frame[[name]]], axis=1),
            "index": lambda: frame.set_axis([0] * len(frame)),
            "levels": lambda: frame.set_axis(pd.MultiIndex.from_product([frame.columns, ["x"]]), axis=1),
            "few": lambda: frame.iloc[: data.draw(st.integers(0, 2))],
        }[how]()
    frame.attrs = attrs
    return frame


@settings(max_examples=150)
@given(st.data())
def test_a_loaded_frame_was_changed(data):
    reader = data.draw(st.sampled_from(sorted(READERS)))
    answers(READERS[reader], spoilt(data, trials()))
