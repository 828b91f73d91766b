"""DerSimonian & Kacker (2007). Random-effects model for meta-analysis of clinical trials: an update. Contemp Clin
Trials 28:105-114. doi:10.1016/j.cct.2006.04.004

Tables 3 and 4, pages 111-112: the CLASP trials of aspirin, log odds ratios. Data and printed values as quoted, with
the pages, in metafor's tests/testthat/test_analysis_example_dersimonian2007.r. CA is HE here; CA2 and DL2 are the
two-step estimators, a generalised Q with weights 1/(v + tau2) at the tau2 of the first step.
"""

from __future__ import annotations

import pytest
from helpers.printed import printed
from helpers.two_arms import log_odds_ratio

import metaan

CLASP = log_odds_ratio(
    [5, 5, 12, 69, 9, 313], [156, 303, 565, 1570, 103, 4659], [8, 17, 9, 94, 11, 352], [74, 303, 477, 1565, 105, 4650]
)


@pytest.mark.parametrize(
    ("method", "tau", "mean", "se"),
    [
        ("PM", "0.3681", "-0.3811", "0.2060"),
        ("HE", "0.4410", "-0.4035", "0.2327"),
        ("DL", "0.2323", "-0.3240", "0.1540"),
        ("EB", "0.3681", "-0.3811", "0.2060"),
        ("REML", "0.1843", "-0.2980", "0.1343"),
        ("HS", "0.1330", "-0.2666", "0.1125"),
        ("SJ", "0.4572", "-0.4079", "0.2386"),
    ],
)
def test_estimators(method, tau, mean, se):
    res = metaan.pool(CLASP, method=method, test="z")
    assert printed(tau) == res.tau
    assert printed(mean) == res.estimate
    assert printed(se) == res.se


def test_maximum_likelihood_is_at_zero():
    """metafor's file has tau 0.0023, where its default control stops on the way to 0; mean and standard error agree
    to the last digit but one of theirs.
    """
    res = metaan.pool(CLASP, method="ML", test="z")
    assert res.tau2 == 0
    w = 1 / CLASP.vi
    r = CLASP.yi - res.estimate
    assert (w * r) @ (w * r) < w.sum()  # the score at 0 is negative
    assert printed("-0.1974", units=1, because="metafor's file is at tau2 = 5e-6") == res.estimate
    assert printed("0.0694", units=1, because="metafor's file is at tau2 = 5e-6") == res.se


@pytest.mark.parametrize(("first", "tau"), [("HE", "0.3831"), ("DL", "0.3254")])
def test_two_steps(first, tau):
    step = metaan.pool(CLASP, method=first, test="z")
    assert printed(tau) == metaan.pool(CLASP, method="GENQ", weights=1 / (CLASP.vi + step.tau2), test="z").tau
