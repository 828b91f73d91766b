"""Effect sizes of two-arm trials, for data sets of the literature (the package's own come from other formulas)."""

from __future__ import annotations

import numpy as np

import metaan


def log_odds_ratio(a, n1, c, n2, *, add: float = 0.0) -> metaan.Effects:
    """Log odds ratio of a/n1 to c/n2 with variance 1/a + 1/b + 1/c + 1/d, `add` added to each cell."""
    a, n1, c, n2 = (np.asarray(x, dtype=float) for x in (a, n1, c, n2))
    cells = [a + add, n1 - a + add, c + add, n2 - c + add]
    y = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
    return metaan.effects(y, sum(1 / cell for cell in cells))


def log_risk_ratio(a, n1, c, n2) -> metaan.Effects:
    """Log risk ratio of a/n1 to c/n2 with variance 1/a - 1/n1 + 1/c - 1/n2."""
    a, n1, c, n2 = (np.asarray(x, dtype=float) for x in (a, n1, c, n2))
    return metaan.effects(np.log(a / n1) - np.log(c / n2), 1 / a - 1 / n1 + 1 / c - 1 / n2)


def hedges_g(m1, sd1, n1, m2, sd2, n2) -> metaan.Effects:
    """Hedges' g with J = 1 - 3/(4 df - 1) and variance J^2 [(n1 + n2)/(n1 n2) + d^2/(2 (n1 + n2))] (Borenstein
    2009, ch. 4).
    """
    m1, sd1, n1, m2, sd2, n2 = (np.asarray(x, dtype=float) for x in (m1, sd1, n1, m2, sd2, n2))
    df = n1 + n2 - 2
    d = (m1 - m2) / np.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / df)
    j = 1 - 3 / (4 * df - 1)
    return metaan.effects(j * d, j**2 * ((n1 + n2) / (n1 * n2) + d**2 / (2 * (n1 + n2))))
