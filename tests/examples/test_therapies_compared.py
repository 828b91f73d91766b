"""Example 08: the table of therapies, their contrasts and the meta-regression, computed anew from the encoded rows."""

import itertools
import math
import re

import numpy as np
import pytest
from helpers.examples import read_rows, table_after
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution


def complete_responses(unit):
    """Rows that example 08 compares, selected anew; of studies that share patients the largest."""
    own = {"radiotherapy": ("radiotherapy", "radiotherapy_hyperthermia")}
    wanted = {"unit": unit, "outcome": "complete_response", "site": "cutaneous_metastases", "preferred": "yes"}
    files = ("electrochemotherapy", "photodynamic", "radiotherapy", "intralesional", "miltefosine", "topical", "other")
    year = {row["study_id"]: row["year"] for row in read_rows("references")}
    rows = [
        row | {"events": int(row["events"]), "total": int(row["total"]), "year": int(year[row["study_id"]])}
        for name in files
        for row in read_rows(name)
        if all(row[key] == value for key, value in wanted.items())
        and row["response_scope"] == "treated_lesions"
        and row["therapy"] in own.get(name, (name,))
        and row["counts"] in ("printed", "derived")
        and row["confidence"] in ("high", "medium")
        and not row["arm"].startswith("subgroup")
    ]
    tried = {row["study_id"] for row in rows if row["role"] == "experimental"}
    rows = [row for row in rows if not (row["role"] == "control" and row["study_id"] in tried)]
    member = {}
    for row in read_rows("overlaps"):
        member.setdefault(row["study_id"], {})[row["cohort_group"]] = row["relation"]
    kept = []
    for row in sorted(rows, key=lambda row: (-row["total"], -row["year"], row["study_id"])):
        groups = member.get(row["study_id"], {})
        if not any(
            group in groups and not groups[group] == relation == "subset"
            for other in kept
            for group, relation in member.get(other["study_id"], {}).items()
        ):
            kept.append(row)
    return kept


def meta_regression(rows):
    """REML and Knapp-Hartung from the textbook formulas: X, y, tau2, beta, covariance."""
    therapies = sorted({row["therapy"] for row in rows})
    x = np.array(
        [[1.0, *(row["therapy"] == name for name in therapies[1:]), (row["year"] - 2005) / 10] for row in rows]
    )
    cells = np.array([(row["events"], row["total"] - row["events"]) for row in rows], dtype=float)
    cells[(cells == 0).any(axis=1)] += 0.5
    y, v = np.log(cells[:, 0] / cells[:, 1]), (1 / cells).sum(axis=1)

    def fit(tau2, x):
        w = 1 / (v + tau2)
        information = x.T @ (w[:, None] * x)
        beta = np.linalg.solve(information, x.T @ (w * y))
        return information, beta, w @ (y - x @ beta) ** 2

    def deviance(tau2, x):
        information, _, q = fit(tau2, x)
        return np.log(v + tau2).sum() + np.linalg.slogdet(information)[1] + q

    def reml(x):
        grid = np.linspace(0, 10, 2001)
        best = grid[np.argmin([deviance(tau2, x) for tau2 in grid])]
        ends = (max(best - 0.01, 0), best + 0.01)
        return minimize_scalar(deviance, bounds=ends, args=(x,), method="bounded", options={"xatol": 1e-10}).x

    tau2, alone = reml(x), reml(x[:, :1])
    information, beta, q = fit(tau2, x)
    df = len(y) - x.shape[1]
    return therapies, beta, np.linalg.inv(information) * q / df, df, tau2, 100 * max(0, 1 - tau2 / alone)


def median_rate(rows):
    """Back-transformed intercept of the binomial-normal model, integrated on a dense grid."""
    z = np.linspace(-9, 9, 4001)
    density = np.exp(-(z**2) / 2)

    def minus(parameters):
        logit = parameters[0] + np.exp(parameters[1]) * z
        logs = [r["events"] * logit - r["total"] * np.logaddexp(0, logit) for r in rows]
        return -sum(log.max() + np.log(density @ np.exp(log - log.max())) for log in logs)

    found = minimize(minus, (0, 0), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000})
    return 1 / (1 + np.exp(-found.x[0]))


def test_therapies_are_compared_within_lesions_and_within_patients(run):
    printed, _ = run("08_therapies_compared")
    header, *lines = table_after(printed, "Therapy or year?")
    assert header == "lesion patient lesion, ICC 0.3"
    logits = {}
    for place, unit in enumerate(("lesion", "patient")):
        every = complete_responses(unit)
        groups = {}
        for row in sorted(every, key=lambda row: row["therapy"]):
            groups.setdefault(row["therapy"], []).append(row)
        rows = [row for row in every if len(groups[row["therapy"]]) >= 3]
        therapies, beta, cov, df, tau2, r2 = meta_regression(rows)
        rate = {name: median_rate(groups[name]) for name in therapies}

        # The table of therapies: studies, lesions or patients, years, pooled rate and rate in 2005.
        reach = t_distribution.ppf(0.975, df)
        shown = table_after(printed, f"Complete response per {unit}")[2:]
        assert [line.split()[0] for line in shown] == list(groups)
        for line, (name, members) in zip(shown, groups.items(), strict=True):
            years = [row["year"] for row in members]
            held = [len(members), sum(row["total"] for row in members), min(years), max(years)]
            assert line.split()[1:5] == list(map(str, held))
            if name not in therapies:
                assert line.count("fewer than 3 studies") == 2
                continue
            at = np.array([1.0, *(name == other for other in therapies[1:]), 0.0])
            middle, half = at @ beta, reach * math.sqrt(at @ cov @ at)
            logits[unit, name] = middle, half
            low, high = (100 / (1 + math.exp(-value)) for value in (middle - half, middle + half))
            assert re.findall(r"(\d+) \(", line)[0] == f"{100 * rate[name]:.0f}"
            assert f" {100 / (1 + math.exp(-middle)):.0f} ({low:.0f}-{high:.0f}), PI " in line

        # Every pair once, the difference and the ratio of the pooled rates, Holm's p-values.
        _, *pairs = table_after(printed, f"Pooled rates per {unit} compared")
        pairs = [line for line in pairs if not line.startswith("- ")]
        cells = [line.split() for line in pairs]
        assert [tuple(cell[:2]) for cell in cells] == list(itertools.combinations(therapies, 2))
        for a, b, *numbers in cells:
            difference, low, high, ratio, ratio_low, ratio_high = map(float, numbers[:6])
            assert difference == pytest.approx(rate[a] - rate[b], abs=1e-4)
            assert ratio == pytest.approx(rate[a] / rate[b], rel=1e-3)
            assert low < difference < high
            assert ratio_low < ratio < ratio_high
            assert (low < 0 < high) == (ratio_low < 1 < ratio_high)
        raw = [float(cell[-2]) for cell in cells]
        order, so_far = sorted(range(len(raw)), key=raw.__getitem__), 0.0
        for rank, i in enumerate(order):
            so_far = max(so_far, min(1.0, (len(raw) - rank) * raw[i]))
            assert float(cells[i][-1]) == pytest.approx(so_far, abs=1e-4 * len(raw))

        # The tests of the regression.
        p = len(beta)
        for label, tested in (
            ("therapy, given year", range(1, p - 1)), ("year, given therapy", [p - 1]), ("both: QM", range(1, p)),
        ):  # fmt: skip
            some = list(tested)
            f = beta[some] @ np.linalg.solve(cov[np.ix_(some, some)], beta[some]) / len(some)
            line = next(line for line in lines if line.startswith(label))
            expected = f"F({len(some)}, {df}) = {f:.2f}, p = {f_distribution.sf(f, len(some), df):.3f}"
            assert re.findall(r"F\(.*?p = [\d.]+", line)[place] == expected
        half = reach * math.sqrt(cov[-1, -1])
        ten = "{:.2f} ({:.2f} to {:.2f})".format(*np.exp([beta[-1], beta[-1] - half, beta[-1] + half]))
        assert re.findall(r"[\d.]+ \([^)]*\)", next(x for x in lines if x.startswith("odds ratio")))[place] == ten
        assert re.findall(r"[\d.]+%; [\d.]+", next(x for x in lines if x.startswith("R2")))[place] == (
            f"{r2:.1f}%; {tau2:.2f}"
        )

    # Lesions against patients, therapy by therapy; never one model for both.
    _, *odds = table_after(printed, "Lesions or patients?")
    both = [name for unit, name in logits if unit == "lesion" and ("patient", name) in logits]
    assert [line.split()[0] for line in odds] == both
    for line, name in zip(odds, both, strict=True):
        (one, arm), (two, other) = logits["lesion", name], logits["patient", name]
        gap, half = one - two, math.hypot(arm, other)
        assert line == f"{name} " + "{:.2f} ({:.2f} to {:.2f})".format(*np.exp([gap, gap - half, gap + half]))
    assert printed.count("not randomised against one another") == 2
    assert "lesions of one patient are alike" in printed
    assert "its rate in 2005 is extrapolated" in printed
