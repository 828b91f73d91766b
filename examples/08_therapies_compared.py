"""
Do response rates differ between skin-directed therapies?
=========================================================

And is it the therapy, the unit of counting or the year? Complete response pooled by therapy with the exact model, every
pair of therapies compared; then a meta-regression of the logits on therapy and year of publication, which gives the
rate of each therapy in one common year. metaan refuses to pool counts of lesions with counts of patients: each unit has
its own models, and the rates are compared afterwards.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
ASKED, YEAR = {"outcome": "complete_response", "overlaps": "prefer_largest"}, 2005  # about the median year
TERMS = {"therapy, given year": ["C(therapy)"], "year, given therapy": ["decade"], "both: QM": ["C(therapy)", "decade"]}
CI, PI, TEST = ["estimate", "ci_low", "ci_high"], ["pi_low", "pi_high"], "F({1}, {2:.0f}) = {0:.2f}, p = {3:.3f}"


def written(table, shape="{:.2f} ({:.2f} to {:.2f})"):
    return [shape.format(*numbers) for numbers in table.to_numpy(dtype=float)]


every = {unit: metaan.load("all", unit=unit, **ASKED) for unit in ("lesion", "patient")}
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

shown = {}
for unit, t in every.items():
    groups = list(subs[unit].groups)
    table = t.groupby("therapy").agg(k=("total", "size"), n=("total", "sum"), since=("year", "min"), to=("year", "max"))
    rates = {"Exact model": subs[unit].back().to_frame().set_index("group").loc[groups]}
    rates[f"Regression, {YEAR}"] = fits[unit].predict([{"therapy": g, "decade": 0} for g in groups], scale="display")
    for name, rate in rates.items():
        texts = written(100 * rate[CI + PI], "{:.0f} ({:.0f}-{:.0f}), PI {:.0f}-{:.0f}")
        table[f"{name}, % (95% CI)"] = pd.Series(texts, groups)
    print(f"Complete response per {unit}\n\n{table.fillna('fewer than 3 studies').to_string()}\n")
    print(f"Pooled rates per {unit} compared, as proportions\n\n{subs[unit].contrasts()}")
    print(*(f"- {n}" for n in metaan.explain(many[unit]).notes if n.code in {"combined", "lesions"}), "", sep="\n")
    shown[f"Per {unit}"] = {
        name: subs[unit].groups.get(name)
        or metaan.effect_size("PLO", rows, events="events", total="total", study="study", correction="only0")
        for name, rows in t.groupby("therapy")
    }
axes = metaan.plot.comparison(shown, sort="label", label=1)
metaan.plot.save(axes[0], OUTPUT / "08_therapies_compared.png", OUTPUT / "08_therapies_compared.svg")

print(f"Therapy or year? Meta-regression of the logits, centred at {YEAR}\n\n{pd.DataFrame(tests).to_string()}")
print(*dict.fromkeys(f"- {n}" for fit in fits.values() for n in fit.notes if n.code != "lesions"), sep="\n")
print(f"- Where all studies of a therapy (since, to) lie on one side of {YEAR}, its rate in {YEAR} is extrapolated.\n")
groups = [name for name in subs["lesion"].groups if name in subs["patient"].groups]
a, b = (fits[unit].predict([{"therapy": g, "decade": 0} for g in groups]) for unit in every)
gap, half = a["estimate"] - b["estimate"], np.hypot(a["ci_high"] - a["estimate"], b["ci_high"] - b["estimate"])
print(f"Lesions or patients? Odds of response in {YEAR}, lesions to patients; mostly other studies, drugs, tumours\n")
print(pd.DataFrame(written(np.exp(pd.concat([gap, gap - half, gap + half], axis=1))), groups, ["odds ratio (95% CI)"]))
