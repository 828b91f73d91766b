"""
Do response rates differ between skin-directed therapies?
=========================================================

And is it the therapy, the unit of counting or the year? Complete response pooled by therapy with the exact model, every
pair of therapies compared; then a meta-regression of the logits on therapy and year of publication, which gives the
rate of each therapy in one common year. metaan refuses to pool counts of lesions with counts of patients: each unit has
its own models, and the rates are compared afterwards.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
sns.set_theme("paper", "whitegrid", "colorblind", rc={"axes.grid.axis": "x", "grid.color": "0.93"})
ASKED, YEAR = {"outcome": "complete_response", "overlaps": "prefer_largest"}, 2005  # about the median year
TERMS = {"therapy, given year": ["C(therapy)"], "year, given therapy": ["decade"], "both: QM": ["C(therapy)", "decade"]}
CI, PI, TEST = ["estimate", "ci_low", "ci_high"], ["pi_low", "pi_high"], "F({1}, {2:.0f}) = {0:.2f}, p = {3:.3f}"


def written(table, shape="{:.2f} ({:.2f} to {:.2f})"):
    return [shape.format(*numbers) for numbers in table.to_numpy(dtype=float)]


every = {unit: metaan.load("all", unit=unit, **ASKED) for unit in ("lesion", "patient")}
ORDER = sorted(set(pd.concat(every.values())["therapy"]))
many = {unit: t[t.groupby("therapy")["study"].transform("size") >= 3] for unit, t in every.items()}
many["lesion, ICC 0.3"] = metaan.design_effect(many["lesion"], icc=0.3, cluster_size="median")
subs, fits, tests = {}, {}, {}
for counted, t in many.items():
    t = t.assign(decade=(t["year"] - YEAR) / 10).sort_values(["therapy", "year"])
    eff = metaan.effect_size("PLO", t, events="events", total="total", study="study", correction="only0")
    subs[counted] = sub = metaan.subgroups(eff, by="therapy", model="glmm")
    fits[counted] = fit = metaan.regress(eff, "~ C(therapy) + decade")
    lines = {"therapy, exact subgroups": TEST.format(sub.Q_between, sub.Q_df, sub.Q_df2, sub.Q_pvalue)}
    for name, terms in TERMS.items():
        lines[name] = TEST.format(*fit.test(*terms))
    lines["odds ratio of ten years"] = written(np.exp(fit.contrast({"decade": 1})[CI]))[0]
    tests[counted] = lines | {"R2; tau2 left": f"{fit.R2:.1f}%; {fit.tau2:.2f}"}

fig, axes = plt.subplots(1, 2, figsize=(7.1, 5.6), sharex=True, sharey=True, layout="constrained")
for ax, (unit, t) in zip(axes, every.items(), strict=True):
    groups = list(subs[unit].groups)
    table = t.groupby("therapy").agg(k=("total", "size"), n=("total", "sum"), since=("year", "min"), to=("year", "max"))
    rates = {"Exact model": subs[unit].back().to_frame().set_index("group").loc[groups]}
    rates[f"Regression, {YEAR}"] = fits[unit].predict([{"therapy": g, "decade": 0} for g in groups], scale="display")
    for (name, rate), up, c in zip(rates.items(), (0.3, 0.1), ("C0", "C1"), strict=True):
        r, y = 100 * rate[CI + PI], [ORDER.index(group) - up for group in groups]
        table[f"{name}, % (95% CI)"] = pd.Series(written(r, "{:.0f} ({:.0f}-{:.0f}), PI {:.0f}-{:.0f}"), groups)
        ax.hlines(y, r["pi_low"], r["pi_high"], color=c, alpha=0.3, lw=5, label="95% prediction interval")
        ax.errorbar(r["estimate"], y, xerr=abs(r[CI[1:]].T - r["estimate"]), c=c, fmt="D", label=f"{name}, 95% CI")
    for name, rows in t.groupby("therapy"):
        y, x, big = ORDER.index(name), 100 * rows["events"] / rows["total"], rows["total"].idxmax()
        ax.scatter(x, [y + 0.13] * len(x), s=8 + rows["total"] / 4, color="0.4", alpha=0.5, clip_on=False)
        ax.text(x[big], y + 0.39, rows["study"][big], ha="center", va="center", fontsize=6.5)
        ax.text(104, y, f"k {len(rows)}\nn {rows['total'].sum()}", va="center", fontsize=8)
    ax.set(title=f"Per {unit}", xlabel="Complete response (%)", xlim=(-2, 102), ylim=(len(ORDER) - 0.4, -0.6))
    print(f"Complete response per {unit}\n\n{table.fillna('fewer than 3 studies').to_string()}\n")
    print(f"Pooled rates per {unit} compared, as proportions\n\n{subs[unit].contrasts()}")
    print(*(f"- {n}" for n in metaan.explain(many[unit]).notes if n.code in {"combined", "lesions"}), "", sep="\n")
axes[0].set_yticks(range(len(ORDER)), [name.replace("_", " with\n").capitalize() for name in ORDER])
POINTS = "Points: single studies, area by n, the largest named; no rate where there are fewer than 3"
fig.legend(*axes[0].get_legend_handles_labels(), title=POINTS, frameon=False, loc="outside lower center", ncols=2)
metaan.plot.save(axes[0], OUTPUT / "08_therapies_compared.png", OUTPUT / "08_therapies_compared.svg")

print(f"Therapy or year? Meta-regression of the logits, centred at {YEAR}\n\n{pd.DataFrame(tests).to_string()}")
print(*dict.fromkeys(f"- {n}" for fit in fits.values() for n in fit.notes if n.code != "lesions"), sep="\n")
print(f"- Where all studies of a therapy (since, to) lie on one side of {YEAR}, its rate in {YEAR} is extrapolated.\n")
groups = [name for name in subs["lesion"].groups if name in subs["patient"].groups]
a, b = (fits[unit].predict([{"therapy": g, "decade": 0} for g in groups]) for unit in every)
gap, half = a["estimate"] - b["estimate"], np.hypot(a["ci_high"] - a["estimate"], b["ci_high"] - b["estimate"])
print(f"Lesions or patients? Odds of response in {YEAR}, lesions to patients; mostly other studies, drugs, tumours\n")
print(pd.DataFrame(written(np.exp(pd.concat([gap, gap - half, gap + half], axis=1))), groups, ["odds ratio (95% CI)"]))
