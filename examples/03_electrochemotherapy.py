"""
Does electrochemotherapy work as well as its reviews say?
=========================================================

All trials in skin metastases, lesions and patients apart; then each published rate against the rows at hand
that come closest to it. Mali's main paper of 2013 could not be read; his paper on tumour size is there.
"""

from pathlib import Path

import pandas as pd

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}
SKIN = "site == 'cutaneous_metastases'"
MELANOMA = f"{SKIN} and primary_tumour == 'melanoma'"
# Population of a review (or the review itself): the rows that come closest to it.
ROWS = {
    "all": "total > 0", "morley2019": SKIN, "melanoma": MELANOMA,
    "breast": f"{SKIN} and primary_tumour == 'breast'",
    "melanoma, intratumoral": f"{MELANOMA} and route == 'intratumoral'",
    "melanoma, intravenous": f"{MELANOMA} and route == 'intravenous'",
    "melanoma, studies to 2006": f"{MELANOMA} and year <= 2006",
    "bleomycin": "agent == 'bleomycin'", "cisplatin": "agent == 'cisplatin'",
    "vulvar": "primary_tumour == 'vulvar'", "kaposi": "primary_tumour == 'kaposi'",
}  # fmt: skip


def percent(rate, low, high):
    return f"{rate:.1f} ({low:.1f}-{high:.1f})" if low == low else f"{rate:.1f}"


def ours(trials):
    res = metaan.glmm("PLO", trials, **COUNTS).back()
    rate, low, high = 100 * res.estimate, 100 * res.ci_low, 100 * res.ci_high
    return {"rate": rate, "ours": percent(rate, low, high), "our k": str(res.k)}


every, lines = {}, []
for outcome in ("complete_response", "objective_response"):
    for unit in ("lesion", "patient"):
        every[outcome, unit] = metaan.load("electrochemotherapy", outcome=outcome, unit=unit, site="any")
        lines.append({"outcome": outcome, "unit": unit} | ours(every[outcome, unit].query(SKIN)))
print("Electrochemotherapy of skin metastases by GLMM: rates in % (95% CI)\n")
print(pd.DataFrame(lines).drop(columns="rate").to_string(index=False), "\n")

lines = []
for target in metaan.published().query("therapy == 'electrochemotherapy'").itertuples():
    rows = ROWS.get(target.review_id, ROWS.get(target.population))
    for unit in [target.unit] if target.unit else ["lesion", "patient"]:  # not said: both are shown
        line = {"review": target.review_id, "population": target.population, "outcome": target.outcome}
        line |= {"unit": unit, "k": str(target.k).replace("<NA>", "not said")}
        line["published"] = percent(target.pooled_pct, target.ci_low, target.ci_high)
        if rows is None:
            line["ours"] = "not comparable: no sizes"
        elif (trials := every[target.outcome, unit].query(rows)).empty:
            line["ours"] = "not comparable: no rows"
        else:
            line |= ours(trials)
            line["difference"] = f"{line['rate'] - target.pooled_pct:+.1f}"
        lines.append(line)
print("Published reviews against the tables at hand, rates in % (95% CI)\n")
print(pd.DataFrame(lines).drop(columns="rate").fillna("").to_string(index=False), "\n")

trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion")
print(metaan.explain(trials))
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Complete response (% of lesions)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "03_electrochemotherapy.png", OUTPUT / "03_electrochemotherapy.svg")
