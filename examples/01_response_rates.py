"""
How often do skin metastases respond to treatment of the skin?
==============================================================

Complete and objective response by therapy, lesions and patients apart, pooled by two models side by side: the
exact binomial-normal model (GLMM), which needs no correction for 0 and 100 %, and REML on logits with the
Hartung-Knapp interval. Of studies that share patients, or may, the largest is kept. One forest plot for each row of
the table, by GLMM.
"""

from itertools import product
from pathlib import Path

import pandas as pd

import metaan

OUTPUT = Path(__file__).parent / "output"
THERAPIES = {
    "electrochemotherapy": "electrochemotherapy", "photodynamic": "photodynamic therapy",
    "radiotherapy": "radiotherapy", "radiotherapy_hyperthermia": "radiotherapy with hyperthermia",
    "intralesional": "intralesional therapy", "miltefosine": "topical miltefosine", "topical": "other topical drugs",
}  # fmt: skip
OUTCOMES = {"complete_response": "Complete response", "objective_response": "Objective response"}
CAUTIONS = {
    "lesions": "lesions of one patient are alike; taken for independent, they make intervals too narrow",
    "combined": "some studies gave systemic treatment besides; metaan.explain names them",
    "2 studies": "their intervals are of t with 1 degree of freedom and hardly tell anything",
    "BNCT": "boron neutron capture therapy is among the radiotherapy",
}
COUNTS = {"events": "events", "total": "total", "study": "study"}


def interval(low, high):
    return f"{100 * low:.1f}-{100 * high:.1f}" if low == low else "none"


def cautions(trials):
    found = [note.code for note in metaan.explain(trials).notes if note.code in CAUTIONS]
    found += ["2 studies"] * (len(trials) == 2)
    return found + ["BNCT"] * any("neutron capture" in agent for agent in trials["agent"])


def columns(name, res):
    res = res.back()
    rate = f"{100 * res.estimate:.1f} ({interval(res.ci_low, res.ci_high)})"
    return {name: rate, f"{name} PI": interval(res.pi_low, res.pi_high), f"{name} tau2": f"{res.tau2:.2f}"}


OUTPUT.mkdir(exist_ok=True)
lines = []
for therapy, unit, outcome in product(THERAPIES, ("lesion", "patient"), OUTCOMES):
    name = therapy.removesuffix("_hyperthermia")
    try:
        trials = metaan.load(name, outcome=outcome, unit=unit, therapy=therapy, overlaps="prefer_largest")
    except metaan.errors.InputError:  # no trial counts this outcome in this unit
        continue
    line = {"therapy": therapy, "unit": unit, "outcome": outcome.removesuffix("_response")}
    line |= {"k": len(trials), "n": trials["total"].sum()}
    codes = cautions(trials)
    if len(trials) < 2:
        lines.append(line | {"GLMM": "1 study, not pooled", "caution": ", ".join(codes)})
        continue
    exact = metaan.glmm("PLO", trials, **COUNTS)
    logits = metaan.effect_size("PLO", trials, **COUNTS, correction="only0")
    line |= columns("GLMM", exact) | columns("REML-HK", metaan.pool(logits)) | {"caution": ", ".join(codes)}
    lines.append(line)
    event = OUTCOMES[outcome]
    treatment = THERAPIES[therapy] + " or boron neutron capture therapy" * ("BNCT" in codes)
    ax = metaan.plot.forest(exact, title=f"{event} to {treatment}", xlabel=f"{event} (% of {unit}s)")
    file = OUTPUT / f"01_{therapy}_{unit}_{line['outcome']}"
    metaan.plot.save(ax, file.with_suffix(".png"), file.with_suffix(".svg"))

print("Rates in % (95% CI), 95% prediction interval (PI), tau2 of the logits; n lesions or patients\n")
print(pd.DataFrame(lines).fillna("").to_string(index=False), "\n")
print(*(f"{code}: {meaning}" for code, meaning in CAUTIONS.items()), sep="\n")
