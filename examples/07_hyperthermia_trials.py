"""
Does heat help radiotherapy?
============================

Complete response in trials that gave radiotherapy with hyperthermia to one arm and radiotherapy alone to the other:
odds ratio, risk ratio and risk difference by inverse variance, Mantel-Haenszel, Peto and the exact conditional
likelihood, side by side. Where the methods disagree, the data are too few to trust any of them.
"""

from pathlib import Path

import pandas as pd

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
ARMS = {name: name for name in ("study", "events_t", "total_t", "events_c", "total_c")}
SHOWN = ["study", "design", "events_t", "total_t", "events_c", "total_c", "counts_t", "counts_c"]
# The default selection leaves one trial for each unit: counts that were inferred are asked for, and said aloud.
ASKED = {"outcome": "complete_response", "counts": "any", "confidence": "any", "overlaps": "keep"}


def fits(trials):
    """Every method for each measure."""
    for measure in ("OR", "RR", "RD"):
        eff = metaan.effect_size(measure, trials, **ARMS, correction="only0")
        yield measure, "inverse variance, REML, Hartung-Knapp", metaan.pool(eff)
        yield measure, "inverse variance, REML, z", metaan.pool(eff, test="z")
        yield measure, "Mantel-Haenszel", metaan.mantel_haenszel(measure, trials, **ARMS)
    yield "OR", "Peto", metaan.peto(trials, **ARMS)
    yield "OR", "GLMM, exact (CM.EL), t", metaan.glmm("OR", trials, **ARMS)
    yield "OR", "GLMM, exact (CM.EL), profile", metaan.glmm("OR", trials, **ARMS, ci="profile")


def line(measure, method, res):
    shown, spread = res.back(), "-" if res.spec.model == "stratified" else f"{res.tau2:.3f}"
    interval = f"{shown.estimate:.2f} ({shown.ci_low:.2f} to {shown.ci_high:.2f})"
    return {"measure": measure, "method": method, "estimate (95% CI)": interval, "tau2": spread}


for unit in ("patient", "lesion"):
    trials = metaan.load("hyperthermia", unit=unit, **ASKED)
    print(f"Complete response per {unit}, with heat (t) and without (c)\n")
    print(trials[SHOWN].to_string(index=False), "\n")
    table = pd.DataFrame([line(*fit) for fit in fits(trials)])
    order = table["measure"].map(["OR", "RR", "RD"].index)
    print(table.iloc[order.argsort(kind="stable")].to_string(index=False), "\n")
    tables = metaan.mantel_haenszel("OR", trials, **ARMS)
    for what, test in (("no effect in any trial", tables.association), ("one odds ratio for all", tables.tarone)):
        p = "< 0.001" if test.pvalue < 0.001 else f"= {test.pvalue:.3f}"
        print(f"Test of {what}: chi2 {test.statistic:.2f}, df {test.df}, p {p}")
    print()
    title = f"Complete response per {unit}: radiotherapy with heat against radiotherapy alone"
    ax = metaan.plot.forest(metaan.glmm("OR", trials, **ARMS), title=title)
    metaan.plot.save(ax, *(OUTPUT / f"07_hyperthermia_per_{unit}.{kind}" for kind in ("png", "svg")))

print("Vernon 1996 sums five randomised trials and prints an odds ratio of 2.3; the sums alone give 2.1. Only it and")
print("Jones 2005 were randomised, and most tumours were not skin metastases. Lesions of one patient are alike (in")
print("Lindholm 1987 they are pairs), which no method here takes into account: intervals per lesion are too narrow.")
