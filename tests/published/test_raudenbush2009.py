"""Raudenbush (2009). Analyzing effect sizes: random-effects models. In Cooper, Hedges & Valentine (eds), The
Handbook of Research Synthesis and Meta-Analysis, 2nd ed., pages 295-315.

Teacher expectancy: standardised mean differences of 19 experiments (metadat dat.raudenbush1985). Printed values as
quoted, with page and table, in metafor's tests/testthat/test_analysis_example_raudenbush2009.r; where that file
notes a different figure in the chapter, the chapter's is used.
"""

from __future__ import annotations

import pytest
from helpers.printed import column, printed

import metaan

STUDIES = metaan.effects(
    column("0.03 0.12 -0.14 1.18 0.26 -0.06 -0.02 -0.32 0.27 0.80 0.54 0.18 -0.02 0.23 -0.18 -0.06 0.30 0.07 -0.07"),
    column(
        "0.0156 0.0216 0.0279 0.1391 0.1362 0.0106 0.0106 0.0484 0.0269 0.0630 0.0912 0.0497 0.0835 0.0841 0.0253 "
        "0.0279 0.0193 0.0088 0.0303"
    ),
)


def test_common_effect():
    """Table 16.2, page 301, and page 302."""
    res = metaan.pool(STUDIES, method="CE", test="z")
    assert printed("0.060") == res.estimate
    assert printed("35.83") == res.Q
    assert printed("1.65", units=1, because="1.655 is cut, not rounded; Table 16.3 has 1.655") == res.statistic


def test_random_effects():
    """Table 16.2, page 301, and page 302; the interval of true effects leaves the error of the mean out."""
    res = metaan.pool(STUDIES, method="REML", test="z", pi="simple")
    assert printed("0.083", units=1, because="0.0837 is cut, not rounded; Table 16.3 has 0.084") == res.estimate
    assert printed("1.62") == res.statistic
    assert printed("0.019") == res.tau2
    assert printed("-0.19") == res.pi_low
    assert printed("0.35") == res.pi_high
    assert printed("-0.03") == res.blup.min()
    assert printed("0.25") == res.blup.max()


# Table 16.3, page 309: tau2, mean, and for each kind of inference standard error, statistic, limits.
TABLE = {
    "CE": ("0.000", "0.060", {"z": ("0.036", "1.655", "-0.011", "0.132"), "hk": ("0.051", "1.173", "-0.048", "0.168")}),
    "ML": ("0.013", "0.078", {"z": ("0.047", "1.637", "-0.015", "0.171"), "hk": ("0.059", "1.311", "-0.047", "0.202")}),
    "REML": (
        "0.019",
        "0.084",
        {"z": ("0.052", "1.621", "-0.018", "0.185"), "hk": ("0.062", "1.359", "-0.046", "0.213")},
    ),
    "DL": ("0.026", "0.089", {"z": ("0.056", "1.601", "-0.020", "0.199"), "hk": ("0.064", "1.405", "-0.044", "0.223")}),
    "HE": ("0.080", "0.114", {"z": ("0.079", "1.443", "-0.041", "0.270"), "hk": ("0.071", "1.608", "-0.035", "0.264")}),
}


@pytest.mark.parametrize("test", ["z", "hk"])
@pytest.mark.parametrize("method", TABLE)
def test_conventional_and_knapp_hartung(method, test):
    tau2, mean, rows = TABLE[method]
    se, statistic, low, high = rows[test]
    res = metaan.pool(STUDIES, method=method, test=test)
    assert printed(tau2) == res.tau2
    assert printed(mean) == res.estimate
    assert printed(se) == res.se
    assert printed(statistic) == res.statistic
    assert printed(low) == res.ci_low
    assert printed(high) == res.ci_high
