"""Whatever is asked of the loader, it gives the same twice, and never what must not be pooled."""

import warnings

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.errors import InputError, OverlapWarning
from metaan.evidence import options
from metaan.evidence.overlap import OVERLAPS, shared


def one(option):
    return st.sampled_from(sorted(option.choices))


NAMES = sorted(set(options.NAME.choices) - {"spratt2014", "prevalence"})
ASKED = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "outcome": st.sampled_from(["complete_response", "objective_response", "stable_disease", "recurrence"]),
        "overlaps": one(OVERLAPS),
    },
    optional={
        "unit": one(options.UNIT),
        "site": one(options.SITE),
        "scope": one(options.SCOPE),
        "counts": one(options.COUNTS),
        "confidence": one(options.CONFIDENCE),
        "arms": one(options.ARMS),
        "preferred": one(options.PREFERRED),
        "primary_tumour": st.sampled_from(["breast", "melanoma", "any"]),
        "design": st.sampled_from(["rct", "retrospective", "any"]),
        "agent": st.sampled_from(["bleomycin", "il-2", "any"]),
    },
)


def loaded(asked):
    """What the loader gives: a frame, or the text of its refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        try:
            return metaan.load(**asked)
        except InputError as refusal:
            return str(refusal)


@settings(max_examples=80)
@given(ASKED)
def test_loading_is_deterministic_and_guarded(asked):
    first, again = loaded(asked), loaded(asked)
    if isinstance(first, str):
        assert first == again
        return
    pd.testing.assert_frame_equal(first, again)
    assert first.attrs == again.attrs
    assert first["unit"].nunique() == first["response_scope"].nunique() == first["outcome"].nunique() == 1
    if asked["overlaps"] != "keep":
        assert not shared(first["study_id"].unique())
    if asked.get("counts", "derived") != "any":
        column = "counts_t" if "counts_t" in first.columns else "counts"
        assert "inferred" not in set(first[column])
    story = metaan.explain(first)
    assert story.kept + len(story.rows) == story.total


@settings(max_examples=40)
@given(ASKED, st.randoms(use_true_random=False))
def test_a_filtered_frame_is_explained_too(asked, random):
    trials = loaded(asked)
    if isinstance(trials, str):
        return
    some = trials.sample(n=random.randint(0, len(trials)), random_state=random.randint(0, 99))
    story, whole = metaan.explain(some), metaan.explain(trials)
    assert story.total == whole.total
    assert story.total - story.kept == len(story.rows)
    assert story.kept <= whole.kept
