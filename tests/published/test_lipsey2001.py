"""Lipsey & Wilson (2001). Practical Meta-Analysis. Sage, chapter 7.

Challenge programmes for delinquents: ten standardised mean differences, random assignment and intensity. Data and
printed values as quoted, with page and exhibit, in metafor's tests/testthat/test_analysis_example_lipsey2001.r; where
that file notes a different figure in the chapter, the chapter's.
"""

from __future__ import annotations

import pandas as pd
from helpers.printed import column, printed

import metaan

ROWS = pd.DataFrame(
    {"random": column("0 0 0 0 0 0 1 1 1 1"), "intensity": column("7 3 7 5 7 7 4 4 5 6")}
)  # fmt: skip
STUDIES = metaan.effects(
    column("-0.33 0.32 0.39 0.31 0.17 0.64 -0.33 0.15 -0.02 0.00"),
    column("0.084 0.035 0.017 0.034 0.072 0.117 0.102 0.093 0.012 0.067"),
    data=ROWS,
)


def agree(res, text):
    values = (res.estimate, res.se, res.statistic, res.pvalue, res.ci_low, res.ci_high)
    assert [printed(number) for number in text.split()] == list(values)


def rows_agree(fit, text):
    for line, row in zip(text.strip().splitlines(), fit.to_frame().itertuples(), strict=True):
        agree(row, line)


def test_fixed_effects():
    """Page 133, Exhibit 7.3."""
    res = metaan.pool(STUDIES, method="CE", test="z")
    agree(res, "0.1549 0.0609 2.5450 0.0109 0.0356 0.2742")
    assert [printed("14.7640"), printed("0.0976")] == [res.Q, res.Q_pvalue]


def test_random_effects():
    """Page 133, Exhibit 7.3."""
    res = metaan.pool(STUDIES, method="DL", test="z")
    agree(res, "0.1534 0.0858 1.7893 0.0736 -0.0146 0.3215")
    assert printed("0.025955") == res.tau2


def test_subgroups():
    """Page 138, Exhibit 7.4: the analogue of the analysis of variance."""
    sub = metaan.subgroups(STUDIES, "random", method="CE", test="z")
    one, other = sub.groups.values()
    for group, text in ((one, "0.2984 0.0813 0.1390 0.4578"), (other, "-0.0277 0.0917 -0.2075 0.1521")):
        values = [group.estimate, group.se, group.ci_low, group.ci_high]
        assert [printed(number) for number in text.split()] == values
    assert printed("7.0738", units=1, because="7.07388 in full precision") == sub.Q_between
    assert printed("0.0078") == sub.Q_pvalue
    assert printed("6.4383", units=1, because="6.43822 in full precision") == one.Q
    assert [printed("0.2659"), printed("1.2519"), printed("0.7406")] == [one.Q_pvalue, other.Q, other.Q_pvalue]
    assert printed("7.6902", units=1.2, because="7.69008 in full precision") == one.Q + other.Q


def test_fixed_effects_regression():
    """Page 141, Exhibit 7.6."""
    fit = metaan.regress(STUDIES, "~ random + intensity", method="CE", test="z")
    rows_agree(
        fit,
        """
        0.3223 0.2998 1.0752 0.2823 -0.2652 0.9099
        -0.3298 0.1304 -2.5286 0.0115 -0.5854 -0.0742
        -0.0041 0.0493 -0.0829 0.9339 -0.1007 0.0925
        """,
    )
    assert [printed("7.0807"), printed("0.0290")] == [fit.QM, fit.QM_pvalue]
    assert printed("7.6833", units=1, because="7.68321 in full precision") == fit.QE
    assert printed("0.3613", units=1, because="0.36137 is cut, not rounded") == fit.QE_pvalue


def test_mixed_effects_regression():
    """Page 141, Exhibit 7.7."""
    fit = metaan.regress(STUDIES, "~ random + intensity", method="DL", test="z")
    rows_agree(
        fit,
        """
        0.3311 0.3198 1.0351 0.3006 -0.2958 0.9579
        -0.3269 0.1439 -2.2712 0.0231 -0.6090 -0.0448
        -0.0068 0.0528 -0.1292 0.8972 -0.1103 0.0967
        """,
    )
    assert printed("5.5709", units=2, because="5.57107 in full precision") == fit.QM
    assert [printed("0.0617"), printed("0.00488")] == [fit.QM_pvalue, fit.tau2]
    assert printed("81.2") == fit.R2
