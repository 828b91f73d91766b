"""A made result of every class, its labels as hostile as a file can hold."""

import dataclasses

import numpy as np
import pandas as pd

import metaan

HOSTILE = """<script>alert("1")</script> & 'two' </td><img src=x onerror=alert(1)>"""
X = [1, 3, 2, 4, 9, 3, 9, 12, 5, 14]
N = [20, 44, 28, 30, 51, 30, 40, 40, 11, 25]
STUDY = [f"{HOSTILE} {i}" for i in range(10)]
GROUPS = [f"{HOSTILE} a", "b"] * 5
PATIENTS = [9, 12, 8, 14, 20, 11, 19, 15, 6, 10]


def results():
    """One name and result for each class that the public functions return."""
    trials = pd.DataFrame({"events": X, "total": N, "study": STUDY, "g": GROUPS, "patients": PATIENTS})
    counts = {"events": "events", "total": "total", "study": "study"}
    rates = metaan.effect_size("PLO", trials, **counts)
    y = np.array([0.10, 0.32, 0.18, 0.20, 0.65, 0.60, 0.85, 0.30, 0.51, 0.42])
    v = np.array([0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15, 0.02, 0.05, 0.03])
    general = metaan.effects(y, v, study=STUDY, measure="SMD", data=trials)
    twice = metaan.effects(y, v, study=[STUDY[i // 2] for i in range(10)])
    pooled, smd = metaan.pool(rates), metaan.pool(general)
    glmm = metaan.glmm("PLO", trials, **counts)
    found = [rates, pooled, pooled.back(), pooled.heterogeneity, pooled.mean_rate, glmm]
    found += [metaan.glmm("PLO", trials, **counts, formula="~ g"), metaan.regress(rates, "~ g")]
    found += [metaan.bayes(trials, **counts), metaan.robust(pooled, STUDY), metaan.multilevel(twice, "study/estimate")]
    found += [metaan.beta_binomial(trials, **counts), metaan.beta_binomial(trials, **counts, formula="~ g")]
    found += [metaan.regress(general, "~ g", scale="~ g"), metaan.tau2_interval(pooled), metaan.compare(pooled)]
    found += [metaan.clustered_binomial(trials, **counts, patients="patients", icc=0.2)]
    found += [_two_arms(), _categories(), metaan.counts_from_percentage("33.3", max_total=60)]
    return found + _after(trials, counts, pooled, smd, glmm) + _evidence()


def _two_arms():
    arms = {"events_t": [3, 5, 9], "total_t": [20, 30, 40], "events_c": [6, 9, 14], "total_c": [21, 33, 41]}
    return metaan.mantel_haenszel("OR", **arms, study=STUDY[:3])


def _categories():
    names = (f"{HOSTILE} CR", "PR", "PD")
    columns = dict(zip(names, ([13, 36, 107, 130], [1, 62, 24, 31], [3, 47, 11, 39]), strict=True))
    return metaan.categories(columns=columns, study=STUDY[:4], test="z")


def _after(trials, counts, pooled, smd, glmm):
    groups = metaan.subgroups(pooled.effects, by="g")
    tests = metaan.small_study_effects(smd)
    new = metaan.predictive(glmm, 40)
    table = metaan.grade_table({HOSTILE: glmm}, risk_of_bias={HOSTILE: HOSTILE})
    petpeese = metaan.pet_peese(smd)
    return [
        groups, groups.contrasts(), tests, tests.tests[0], new, new.simon(1, 10, 5, 29), table, table.rows[0], petpeese,
        petpeese.pet, metaan.precision_n(glmm, half_width=0.1), metaan.explain_difference(pooled, glmm),
        metaan.multiverse(trials, **counts, measures=["PLO"], methods=["REML", "DL"], tests=["z", "hk"]),
        metaan.gosh(metaan.pool(pooled.effects, method="DL", test="z")), metaan.bootstrap(pooled, n=99),
        metaan.permutation_test(metaan.pool(pooled.effects, test="z"), n=99), metaan.copas(smd, published=[1, 0.5]),
        metaan.limit_meta_analysis(smd), metaan.selection_model(smd.effects), metaan.p_uniform_star(smd.effects),
        metaan.p_curve(pvalues=[0.001, 0.003, 0.012, 0.02, 0.04, 0.3], study=STUDY[:6]), metaan.failsafe_n(smd),
        metaan.excess_significance(smd), metaan.lfk_index(smd), metaan.trim_and_fill(smd),
        metaan.predictive_check(glmm, "zeros", n=99),
    ]  # fmt: skip


def _evidence():
    trials = metaan.load("topical", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    page = metaan.provenance("leonard2001")
    return [metaan.explain(trials), dataclasses.replace(page, label=HOSTILE)]
