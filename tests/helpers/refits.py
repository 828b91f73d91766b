"""Rows of leave_one_out and cumulative against fits to the studies of each row."""

import math

import numpy as np

COLUMNS = [
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "pi_low", "pi_high", "k", "tau2", "tau", "I2", "H2",
    "Q", "Q_df", "Q_pvalue",
]  # fmt: skip
OF_EFFECTS = {"zero-cell-shown", "repeated-studies", "cut", "ft-n", "zero-cell", "no-events"}
"""Notes on the studies and not on the fit, which a row does not repeat."""


def same(row, res, columns, tolerance):
    """Numbers agree relative to their size, and in standard errors where the fit has them."""
    unit = res.se if math.isfinite(res.se) else 0.0
    for name in columns:
        ours, theirs = float(row[name]), float(getattr(res, name))
        if math.isfinite(theirs):
            floor = unit if name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high") else name == "statistic"
            assert abs(ours - theirs) <= tolerance * (abs(theirs) + floor + 1e-3), name
        else:
            assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), name


def codes(table, label):
    """Codes of the notes that name a row."""
    return {note.code for note in table.attrs["notes"] if label in note.studies}


def rows(k):
    """Each row of leave_one_out (0) and cumulative (1): which table, its number, and the studies in it."""
    for i in range(k):
        yield 0, i, np.arange(k) != i
        yield 1, i, np.arange(k) <= i
