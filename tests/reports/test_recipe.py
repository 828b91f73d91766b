"""The code of a report runs by itself and gives the numbers of the report."""

import contextlib
import io
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.pages import tree

import metaan
from metaan.reports.recipe import recipe_of
from metaan.reports.subject import subject_of

from .conftest import COUNTS, HOSTILE, trials_of

ARMS = {name: name for name in ("events_t", "total_t", "events_c", "total_c", "study")}


def lesions():
    return trials_of("lesion")


@cache
def heat():
    ask = {"counts": "any", "confidence": "any", "overlaps": "prefer_largest"}
    return metaan.load("hyperthermia", outcome="complete_response", unit="lesion", **ask)


def eff(measure="PLO", **options):
    return metaan.effect_size(measure, lesions(), **COUNTS, **options)


def nested():
    data = pd.DataFrame({"place": list("aabbcc"), "yi": [0.1, 0.3, 0.5, 0.4, 0.2, 0.0], "vi": [0.01] * 6})
    return metaan.effects("yi", "vi", data=data)


RESULTS = {
    "pool": lambda: metaan.pool(eff()),
    "pool of double arcsines": lambda: metaan.pool(eff("PFT"), method="DL", test="z", pi="hts", level=0.9),
    "pool of ready-made effects": lambda: metaan.pool(
        metaan.effects([0.1, 0.2, 0.4], [0.1, 0.2, 0.3], study=HOSTILE[:3])
    ),
    "pool with weights": lambda: metaan.pool(nested(), method="GENQ", weights=[1, 2, 3, 1, 2, 3]),
    "pool with a bootstrap": lambda: metaan.pool(nested(), pi="bootstrap", draws=200, seed=3),
    "pool with corrected counts": lambda: metaan.pool(
        metaan.effect_size("PLO", events=[0, 3, 4], total=[10, 12, 20], correction="all")
    ),
    "pool of odds ratios": lambda: metaan.pool(metaan.effect_size("OR", heat(), **ARMS)),
    "robust": lambda: metaan.robust(metaan.pool(eff()), cluster="study_id", kind="CR1"),
    "glmm": lambda: metaan.glmm("PLO", lesions(), **COUNTS),
    "glmm of some rows": lambda: metaan.glmm("PLO", lesions().query("year > 2005"), **COUNTS, ci="profile"),
    "glmm with another link": lambda: metaan.glmm("PLO", lesions(), **COUNTS, link="probit", test="z", pi="none"),
    "glmm with nodes": lambda: metaan.glmm("PLO", lesions(), **COUNTS, nodes=7),
    "glmm of odds ratios": lambda: metaan.glmm("OR", heat(), **ARMS, model="UM.FS"),
    "glmm of rates in time": lambda: metaan.glmm("IRLN", events=[3, 4, 5], time=[100, 200, 310.5]),
    "glmm of effective counts": lambda: metaan.beta_binomial(lesions(), **COUNTS, test="z"),
    "glmm without events": lambda: metaan.glmm("PLO", events=[0, 0, 0], total=[10, 20, 30], study=HOSTILE[:3]),
    "beta-binomial": lambda: metaan.beta_binomial(lesions(), **COUNTS, ci="profile"),
    "clustered": lambda: metaan.clustered_binomial(
        events=[3, 4, 5], total=[10, 12, 20], patients=[5, 6, 7], icc=0.2, test="z"
    ),
    "Mantel-Haenszel": lambda: metaan.mantel_haenszel("RR", heat(), **ARMS, level=0.9),
    "Peto": lambda: metaan.peto(heat(), **ARMS),
    "multilevel": lambda: metaan.multilevel(nested(), "place/estimate", method="ML"),
    "multilevel, robust": lambda: metaan.robust(metaan.multilevel(nested(), "place/estimate"), cluster="place"),
    "regression on nothing": lambda: metaan.regress(eff(), "~ 1", method="DL", test="z"),
    "subgroups": lambda: metaan.subgroups(eff(), by="design", tau2="common"),
    "subgroups by labels": lambda: metaan.subgroups(eff(), by=["a", "b"] * 8, model="glmm"),
    "bayes": lambda: metaan.bayes(nested(), tau_prior=metaan.HalfCauchy(0.5), mu_prior=metaan.NormalPrior(0, 2)),
    "bayes of counts": lambda: metaan.bayes(events=[3, 4], total=[10, 12]),
    "design effect": lambda: metaan.pool(
        metaan.effect_size("PLO", metaan.design_effect(lesions(), icc=0.3, cluster_size="median"), **COUNTS)
    ),
}


def numbers(res):
    """Estimate and limits of whatever was fitted."""
    one = getattr(res, "overall", res)
    return [np.ravel(getattr(one, name)) for name in ("estimate", "ci_low", "ci_high")]


@pytest.mark.parametrize("name", RESULTS)
def test_the_code_gives_the_result_again(name):
    res = RESULTS[name]()
    made = recipe_of(subject_of(res, None))
    assert made.why == ""
    space = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(made.code, space)
    np.testing.assert_allclose(numbers(space["res"]), numbers(res), rtol=1e-9)
    assert space["res"].spec == res.spec or name == "glmm without events"
    assert printed.getvalue().strip()


def test_the_code_in_the_page_is_the_code_that_was_run(lesion_page):
    made = recipe_of(subject_of(lesions(), None))
    assert lesion_page.one("code", class_="language-python").texts == [made.code]
    assert made.from_load


def test_several_models_are_written_one_after_the_other(trials):
    models = {"GLMM": metaan.glmm("PLO", trials, **COUNTS), "Beta": metaan.beta_binomial(trials, **COUNTS)}
    space = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(recipe_of(subject_of(models, None)).code, space)
    assert [space["res_1"].estimate, space["res_2"].estimate] == [res.estimate for res in models.values()]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: metaan.multilevel(nested(), "place/estimate", vcov=np.diag([0.01] * 6)), "matrix"),
        (lambda: metaan.bayes(nested(), tau_prior=lambda tau: np.exp(-tau)), "function"),
    ],
)
def test_what_a_result_does_not_tell_is_said(make, why, folder):
    res = make()
    assert why in recipe_of(subject_of(res, None)).why
    page = tree(metaan.report(res, folder / "none.html", sections=["code"]).read_text(encoding="utf-8"))
    assert "Does not apply" in page.one("p", class_="absent").text
    assert page.all("pre") == []


def test_numbers_that_differ_are_not_passed_off_as_the_same(trials):
    import dataclasses

    res = metaan.glmm("PLO", trials, **COUNTS)
    other = dataclasses.replace(res, estimate=res.estimate + 1e-6)
    assert "does not record" in recipe_of(subject_of(other, None)).why
