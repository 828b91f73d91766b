"""
Does topical miltefosine work on skin metastases of breast cancer?
==================================================================

One randomised trial (Leonard 2001) compared it with placebo; single-arm trials give response rates. The
randomised trial prints percentages only: its counts are inferred, and left out unless they are asked for.
"""

from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}

# The randomised trial, with the status of its counts said aloud.
WITH_INFERRED = {"counts": "any", "confidence": "any"}
arms = metaan.load("miltefosine", outcome="objective_response", therapy="any", role="any", **WITH_INFERRED)
arms = arms[arms["study_id"] == "leonard2001"]
low, high = metaan.rate_interval(arms["events"], arms["total"])
table = arms[["arm", "reported_pct", "events", "total", "counts", "confidence"]]
limits = zip(100 * arms["events"] / arms["total"], 100 * low, 100 * high, strict=True)
table = table.assign(**{"% (Clopper-Pearson 95% CI)": ["{:.1f} ({:.1f}-{:.1f})".format(*three) for three in limits]})
print("Leonard 2001, objective response, intention to treat\n")
print(table.round(1).to_string(index=False))
for arm, note in zip(arms["arm"], arms["notes"], strict=True):
    print(f"  {arm}: {note}")
events, total = arms["events"].to_numpy(), arms["total"].to_numpy()
low, high = confint_proportions_2indep(events[0], total[0], events[1], total[1], method="newcomb", compare="diff")
difference = 100 * (events[0] / total[0] - events[1] / total[1])
print(f"  risk difference {difference:.1f} points (Newcombe 95% CI {100 * low:.1f} to {100 * high:.1f}): ", end="")
print("inferred counts, low confidence")
print("  The printed P = .006 does not confirm 8/24: its chi-square test gives .0056, that of 7/21 gives .0063.\n")

# The single-arm trials by two models; then with the inferred arm of the randomised trial.
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
        rates = res.back()
        line["% (95% CI)"] = "{:.1f} ({:.1f}-{:.1f})".format(
            *(100 * x for x in (rates.estimate, rates.ci_low, rates.ci_high))
        )
        line["95% PI"] = f"{100 * rates.pi_low:.1f}-{100 * rates.pi_high:.1f}"
        lines.append(line)
print("Miltefosine arms of trials in skin metastases, rates in %\n")
print(pd.DataFrame(lines).to_string(index=False), "\n")

# The single-arm trials alone; the skin lymphomas of Dummer 1993 are another disease and stay out.
trials = metaan.load("miltefosine", outcome="objective_response")
print(metaan.explain(trials))
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Objective response (% of patients)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "04_miltefosine.png", OUTPUT / "04_miltefosine.svg")
