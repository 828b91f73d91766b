"""Röver (2020). Bayesian random-effects meta-analysis using the bayesmeta R package. J Stat Softw 93(6).
doi:10.18637/jss.v093.i06

Values that the package prints in its vignette "An introduction to meta-analysis using the bayesmeta package" (section
"The practical side"; data of Rubin 1981 as printed there): eight schools, normal prior of mu with mean 0 and sd 50,
half-Cauchy prior of tau with scale 25. Those of tau are exact to the last digit. For mu and the schools' effects
bayesmeta replaces the mixture over tau by one of a few normals, to within a stated divergence (its arguments delta and
epsilon), and its shortest intervals are minimised numerically, so that those digits agree to about 1 in 500 of a
standard deviation; brute-force integration is the judge of them in tests/unit/test_bayes.py.
"""

from __future__ import annotations

import pytest
from helpers.printed import printed

import metaan
from metaan import HalfCauchy, NormalPrior

EFFECT = [28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16]
STDERR = [14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6]
GRID = "bayesmeta's approximation of the mixture over tau"


def fit(**options):
    eff = metaan.effects(EFFECT, sei=STDERR, study=list("ABCDEFGH"))
    return metaan.bayes(eff, tau_prior=HalfCauchy(25), mu_prior=NormalPrior(0, 50), **options)


@pytest.fixture(scope="module")
def res():
    return fit()


@pytest.fixture(scope="module")
def shortest():
    return fit(interval="shortest")


def test_tau(res):
    row = res.summary().loc["tau"]
    assert printed("0.000000") == row["mode"]
    assert printed("4.758539") == row["median"]
    assert printed("5.884511") == row["mean"]
    assert printed("4.869904") == row["sd"]


def test_central_interval_of_tau(res):
    assert printed("0.2199559") == res.tau_low
    assert printed("18.0531718") == res.tau_high
    assert printed("15.16589") == res.quantile(0.95, "tau")[0]


def test_shortest_interval_of_tau_starts_at_zero(shortest):
    assert shortest.tau_low == 0
    assert printed("15.165894") == shortest.tau_high


def test_mu(shortest):
    row = shortest.summary().loc["mu"]
    values = {"mode": "7.93", "median": "7.963", "mean": "7.986", "sd": "4.996", "ci_low": "-1.82", "ci_high": "17.82"}
    for name, text in values.items():
        assert printed(text, units=1, because=GRID) == row[name]


def test_probabilities_of_mu(res):
    assert printed("0.9488") == res.prob(above=0)
    assert printed("16.11") == res.quantile(0.95)[0]


@pytest.mark.parametrize(
    ("school", "median", "mean", "sd", "low", "high"),
    [
        ("A", "10.093581", "11.095255", "7.901084", "-3.209562", "28.169723"),
        ("G", "9.786985", "10.336032", "6.631039", "-2.138807", "24.230908"),
        ("H", "8.266594", "8.474644", "7.456906", "-6.528854", "24.110315"),
    ],
)
def test_schools(shortest, school, median, mean, sd, low, high):
    row = shortest.studies().set_index("study").loc[school]
    for text, value in zip((median, mean, sd), row[["median", "mean", "sd"]], strict=True):
        assert printed(text, units=16_000, because=GRID) == value
    for text, value in ((low, row["ci_low"]), (high, row["ci_high"])):
        assert printed(text, units=25_000, because=GRID) == value
