"""
What stands behind a pooled rate?
=================================

The evidence base from above: what it holds, where sources contradict each other, which studies share patients and what
each way of choosing among them does to the rate, where every number of one study comes from, and what to cite.
"""

from pathlib import Path
from textwrap import fill
from warnings import simplefilter

import pandas as pd

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
simplefilter("ignore", metaan.errors.OverlapWarning)  # "keep" is among the policies on purpose
ASKED = {"outcome": "objective_response", "unit": "lesion"}
COUNTS = {"events": "events", "total": "total", "study": "study"}

print("What the evidence base holds\n")
held = metaan.catalogue()[["name", "studies", "rows", "counted", "patients", "lesions", "years"]]
print(held.to_string(index=False), "\n")

print("Same study, different numbers: electrochemotherapy\n")
shown = ["study", "arm", "unit", "outcome", "events", "total", "reported_pct", "source_kind", "preferred", "differs"]
print(metaan.conflicts("electrochemotherapy")[shown].to_string(index=False), "\n")

print("Objective response per lesion to electrochemotherapy: by default the loader refuses\n")
try:
    metaan.load("electrochemotherapy", **ASKED)
except metaan.errors.OptionError as refusal:
    print(fill(str(refusal), 110), "\n")
every = metaan.load("electrochemotherapy", **ASKED, overlaps="keep")
print(metaan.overlaps(every)[["cohort_group", "study_a", "study_b", "contained"]].to_string(index=False), "\n")

lines, results = [], {}
for policy in ("keep", "prefer_largest", "prefer_primary"):
    trials = metaan.load("electrochemotherapy", **ASKED, overlaps=policy)
    results[policy] = res = metaan.glmm("PLO", trials, **COUNTS).back()
    rate, low, high = (f"{100 * number:.1f}" for number in (res.estimate, res.ci_low, res.ci_high))
    left = sorted(set(every["study"]) - set(trials["study"]))
    line = {"overlaps": policy, "k": res.k, "lesions": trials["total"].sum(), "% (95% CI)": f"{rate} ({low}-{high})"}
    lines.append(line | {"tau2": f"{res.tau2:.2f}", "left out": ", ".join(left)})
print("The pooled rate under each policy\n")
print(pd.DataFrame(lines).to_string(index=False), "\n")

print(metaan.provenance("kis2010"), "\n")
trials = metaan.load("electrochemotherapy", **ASKED, overlaps="prefer_largest")
print("References of the rows in hand\n")
print(metaan.cite(trials))
ax = metaan.plot.forest(results["prefer_largest"], xlabel="Objective response (% of lesions)")
metaan.plot.save(ax, OUTPUT / "05_evidence_tour.png", OUTPUT / "05_evidence_tour.svg")
