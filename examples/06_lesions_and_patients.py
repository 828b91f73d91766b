"""
Lesions or patients?
====================

The trials that count the same response both ways, pooled per lesion as if lesions were independent, per lesion with an
assumed correlation of lesions within a patient (ICC), and per patient; then all trials of electrochemotherapy, whose
lesions and patients are counted in different trials. A lesion can respond in a patient who does not: the rates differ
by more than their intervals tell.
"""

from pathlib import Path
from warnings import simplefilter

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
ICC = (0, 0.1, 0.3, 0.5)
COUNTS = {"events": "events", "total": "total", "study": "study"}
ASKED = {"outcome": "objective_response"}


def row(counted, res, total, icc=None):
    keys = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "tau2")
    return {"counted": counted, "ICC": icc, "k": res.k, "n": total} | {key: getattr(res, key) for key in keys}


def pooled(lesions, patients):
    """One row for each way of counting."""
    table = metaan.icc_sensitivity(lesions, icc=ICC, cluster_size="median")
    lines = [row(f"lesions, ICC {line.icc:g}", line, line.total, line.icc) for line in table.itertuples()]
    res = metaan.glmm("PLO", patients, **COUNTS)
    return pd.DataFrame([*lines, row("patients", res.back(), patients["total"].sum()) | {"tau2": res.tau2}])


simplefilter("ignore", metaan.errors.OverlapWarning)  # the trials in common share no patients: see the assertion
both = {unit: metaan.load("all", unit=unit, overlaps="keep", **ASKED) for unit in ("lesion", "patient")}
same = set(both["lesion"]["study_id"]) & set(both["patient"]["study_id"])
both = {unit: trials[trials["study_id"].isin(same)] for unit, trials in both.items()}
assert metaan.overlaps(both["lesion"]).empty
ect = {u: metaan.load("electrochemotherapy", unit=u, overlaps="prefer_largest", **ASKED) for u in both}
shown = ["study", "therapy", "events", "total", "n_patients"]
print("Trials that count objective response both ways\n")
print(both["lesion"][shown].merge(both["patient"][["study", "events", "total"]], on="study").to_string(index=False))
print("(events_x, total_x: lesions; events_y, total_y: patients)\n")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, sharex=True, layout="constrained")
panels = {f"The same {len(same)} trials": both, "Electrochemotherapy, all trials": ect}
for ax, (title, trials) in zip(axes, panels.items(), strict=True):
    table = pooled(trials["lesion"], trials["patient"])
    print(f"{title}: pooled objective response, 95% CI and prediction interval; n effective\n")
    print(table.drop(columns="ICC").round(3).to_string(index=False), "\n")
    rates = table[["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]] * 100
    ax.hlines(table["counted"], rates["pi_low"], rates["pi_high"], color="0.8", lw=5, label="prediction interval")
    ax.hlines(table["counted"], rates["ci_low"], rates["ci_high"], color="0.2", lw=1.5, label="95% CI")
    sns.scatterplot(x=rates["estimate"], y=table["counted"], ax=ax, color="0.1", s=50, zorder=3, legend=False)
    ax.set(title=title, xlabel="Objective response (%)", ylabel="", xlim=(0, 100))
    for i, line in enumerate(table.itertuples()):
        ax.text(101, i, f"k {line.k}, n {line.n:.0f}", va="center", fontsize=8, clip_on=False)
axes[0].set_ylim(len(ICC) + 0.5, -0.5)
fig.legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower right", ncols=2)
trials = ", ".join(both["lesion"]["study"])
fig.supxlabel(f"Left: {trials}. n of lesions is the effective number.", fontsize=8, x=0.02, ha="left")
sns.despine(fig)
metaan.plot.save(axes[0], OUTPUT / "06_lesions_and_patients.png", OUTPUT / "06_lesions_and_patients.svg")
