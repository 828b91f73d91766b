"""
Does topical miltefosine work on skin metastases of breast cancer?
==================================================================

One randomised trial (Leonard 2001) compared it with placebo; single-arm series give response rates. The trial prints
percentages only: its counts are inferred, which is why `metaan.load` leaves them out unless they are asked for.
"""

from pathlib import Path

import pandas as pd
from scipy.stats import chi2_contingency

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}

# %%
# The randomised trial, with the status of its counts said aloud.
everything = metaan.load(
    "miltefosine", outcome="objective_response", therapy="any", counts="any", confidence="any"
)
arms = everything[everything["study_id"] == "leonard2001"]
low, high = metaan.rate_interval(arms["events"], arms["total"])
table = arms[["arm", "reported_pct", "events", "total", "counts", "confidence"]]
table = table.assign(low=100 * low, high=100 * high)
print("Leonard 2001, objective response, intention to treat\n")
print(table.round(1).to_string(index=False))
for arm, note in zip(arms["arm"], arms["notes"], strict=True):
    print(f"  {arm}: {note}")
events, total = arms["events"].to_numpy(), arms["total"].to_numpy()
pvalue = chi2_contingency([events, total - events], correction=False).pvalue
print(f"  chi-square test of the inferred counts: P = {pvalue:.4f} (printed: .006)\n")

# %%
# The single-arm trials, two models side by side; then with the inferred arm of the randomised trial.
lines = []
for outcome in ("complete_response", "objective_response"):
    for counts, confidence in (("derived", "medium"), ("any", "any")):
        trials = metaan.load("miltefosine", outcome=outcome, counts=counts, confidence=confidence)
        eff = metaan.effect_size("PLO", trials, **COUNTS, correction="only0")
        for model, res in {"GLMM": metaan.glmm("PLO", trials, **COUNTS), "REML-HK": metaan.pool(eff)}.items():
            back = res.back()
            shown = {"rate": back.estimate, "low": back.ci_low, "high": back.ci_high}
            shown |= {"PI low": back.pi_low, "PI high": back.pi_high}
            held = {"outcome": outcome, "counts": counts, "k": back.k, "patients": trials["total"].sum()}
            percent = {name: f"{100 * value:.1f}" for name, value in shown.items()}
            lines.append(held | {"model": model} | percent | {"tau2": f"{back.tau2:.3f}"})
print("Miltefosine arms of trials in skin metastases, rates in %\n")
print(pd.DataFrame(lines).to_string(index=False), "\n")

# %%
# The single-arm trials alone; the skin lymphomas of Dummer 1993 are another disease and stay out.
trials = metaan.load("miltefosine", outcome="objective_response")
print(metaan.explain(trials))
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Objective response (% of patients)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "04_miltefosine.png", OUTPUT / "04_miltefosine.svg")
