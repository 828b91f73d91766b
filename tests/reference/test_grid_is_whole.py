"""The reference file holds every data set x measure x method x test that it announces, and was written by pinned
programs.
"""

from __future__ import annotations

import itertools

import pytest
from helpers.grid import cells, grid

METHODS = ["CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM", "SJIT", "GENQ-iv", "GENQ-sqrt"]
RATES = ["PR", "PLO", "PLN", "PAS", "PFT"]
COUNTS = [
    "dataset_a", "pritz1997", "debruin2009", "nielweise2007_standard", "nielweise2007_coated", "lee2004_control",
    "hasselblad1998", "bcg_control", "linde2005_active", "homogeneous", "high", "identical", "three", "two",
]  # fmt: skip
GENERIC = [
    "bcg_rr", "bcg_or", "hackshaw1998", "raudenbush1985", "normand1999_md", "normand1999_smd", "begg1989",
    "collins1985b", "narrow", "two_maxima_low", "two_maxima_high", "two_maxima_zero", "boundary_maximum",
    "gen_three", "gen_two",
]  # fmt: skip
GLMM_ONLY = ["all_zero", "all_events", "near_equal", "one", "half_zero"]
PER_STUDY_UP_TO = 20


def test_axes():
    axes = grid()["axes"]
    assert axes["methods"] == METHODS
    assert axes["tests"] == ["z", "t", "hk", "hk-adhoc"]
    assert axes["datasets"] == COUNTS + GENERIC
    assert grid()["versions"]["metafor"] == "3.8.1"


def test_every_data_set_has_every_measure():
    expected = [f"{d}/{m}" for d, m in itertools.product(COUNTS, RATES)] + [f"{d}/GEN" for d in GENERIC]
    assert list(cells()) == expected


@pytest.mark.parametrize("name", list(cells()))
def test_cell_is_whole(name):
    cell = cells()[name]
    k = cell["k"]
    assert len(cell["yi"]) == len(cell["vi"]) == k
    assert len(cell["QP"]) == len(cell["QP90"]) == 6
    assert list(cell["methods"]) == METHODS
    for method, fit in cell["methods"].items():
        assert list(fit["tests"]) == ["z", "t", "hk", "hk-adhoc"], method
        assert all(len(row) == len(grid()["axes"]["columns"]) for row in fit["tests"].values()), method
        assert None not in (fit["estimate"], fit["tau2"], fit["I2"], fit["H2"]), method
        per_study = k <= PER_STUDY_UP_TO or method in ("CE", "DL", "REML")
        assert ("weights" in fit) == per_study, method
        assert ("blup" in fit) == (per_study and method != "CE" and not method.startswith("GENQ")), method
        assert (method == "CE") == ("pi" not in fit), method
        if method in ("ML", "REML"):
            assert len(fit["PL"]) == 2
            assert fit["peaks"]


def test_binomial_normal_models():
    assert list(grid()["glmm"]) == COUNTS + GLMM_ONLY
    for name, entry in grid()["glmm"].items():
        assert ("metafor" in entry) != ("stopped" in entry), name
        if "metafor" in entry:
            assert {"lme4_7", "lme4_25", "common"} <= set(entry), name
