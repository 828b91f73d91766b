"""
Does topical miltefosine work on skin metastases of breast cancer?
==================================================================

One randomised trial (Leonard 2001) compared it with placebo; single-arm trials give response rates. The
randomised trial prints percentages only: its counts are inferred, and left out unless they are asked for.
"""

from pathlib import Path

import pandas as pd
from scipy.stats import chi2_contingency

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}

# The randomised trial, with the status of its counts said aloud.
arms = metaan.load("miltefosine", outcome="objective_response", therapy="any", counts="any", confidence="any")
arms = arms[arms["study_id"] == "leonard2001"]
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

# The single-arm trials by two models; then with the inferred arm of the randomised trial.
WITH_INFERRED = {"counts": "any", "confidence": "any"}
lines = []
for outcome, admit in [
    ("complete_response", {}),
    ("objective_response", {}),
    ("objective_response", WITH_INFERRED),
]:
    trials = metaan.load("miltefosine", outcome=outcome, **admit)
    eff = metaan.effect_size("PLO", trials, **COUNTS, correction="only0")
    for model, res in {"GLMM": metaan.glmm("PLO", trials, **COUNTS), "REML-HK": metaan.pool(eff)}.items():
        line = {"outcome": outcome, "randomised": "in" if admit else "out", "model": model, "k": res.k}
        line |= {"patients": trials["total"].sum(), "tau2": f"{res.tau2:.3f}"}
        for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
            line[name] = f"{100 * getattr(res.back(), name):.1f}"
        lines.append(line)
print("Miltefosine arms of trials in skin metastases, rates in %\n")
print(pd.DataFrame(lines).to_string(index=False), "\n")

# The single-arm trials alone; the skin lymphomas of Dummer 1993 are another disease and stay out.
trials = metaan.load("miltefosine", outcome="objective_response")
print(metaan.explain(trials))
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Objective response (% of patients)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "04_miltefosine.png", OUTPUT / "04_miltefosine.svg")
