"""
What the next trial will see
============================

Complete response to electrochemotherapy per patient, pooled; from the pooled rates the number of complete responders
among 40 patients of a new trial, the chance of a true rate above 30 %, the fate of a two-stage design, and the patients
that an interval of 20 points takes. Two predictions: with the uncertainty of mean and spread, and with both taken as
known, which promises too much.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
PATIENTS, TARGET = 40, 0.30
DESIGN = {"r1": 1, "n1": 10, "r": 5, "n": 29}  # Simon's form: stop at 1 of 10 or fewer; promising from 6 of 29 on

trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="patient", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study", ci="profile")
print(res.back(), "\n")

rows, shown = [], []
for name, uncertainty in (("uncertainty of mean and spread", "profile"), ("mean and spread known", "plugin")):
    new = metaan.predictive(res, PATIENTS, uncertainty=uncertainty, target=TARGET)
    stages = new.simon(**DESIGN)
    low, high = new.interval(0.95)
    rows.append(
        {
            "prediction": name, "expected": new.mean, "95% from": low, "to": high,
            f"true rate > {TARGET:.0%}": new.true_rate_exceeds(TARGET), "stops early": stages.early_stop,
            "promising": stages.promising,
        }
    )  # fmt: skip
    shown.append(new.to_frame().assign(prediction=name))
print(f"Complete responders among {PATIENTS} patients of a new trial\n")
print(pd.DataFrame(rows).round(3).to_string(index=False), "\n")
print(metaan.precision_n(res, width=0.20), "\n")

table = pd.concat(shown)
fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
sns.lineplot(
    table, x="responders", y="probability", hue="prediction", drawstyle="steps-mid", palette=["0.1", "0.6"], ax=ax
)
ax.axvline(TARGET * PATIENTS, color="0.7", ls="--", lw=1, zorder=0)
ax.text(TARGET * PATIENTS + 0.4, 0.001, f"{TARGET:.0%} of {PATIENTS}", color="0.4", va="bottom", fontsize=9)
ax.set(
    xlabel=f"Complete responders among {PATIENTS} patients", ylabel="Probability", xlim=(0, PATIENTS), ylim=(0, None)
)
ax.set_title("The next trial of electrochemotherapy")
ax.legend(title=None, frameon=False, fontsize=9)
fig.supxlabel(f"Predicted from {', '.join(trials['study'])}.", fontsize=7, x=0.02, ha="left", wrap=True)
sns.despine(fig)
metaan.plot.save(ax, OUTPUT / "11_next_trial.png", OUTPUT / "11_next_trial.svg")
