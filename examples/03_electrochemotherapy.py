"""
Does electrochemotherapy work as well as its reviews say?
=========================================================

All electrochemotherapy trials in skin metastases are pooled, lesions and patients apart, and each published pooled
rate is set against the same population in the tables at hand.
"""

from pathlib import Path

import pandas as pd

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}

# Population of a review -> sites and rows of the tables that come closest. Reviews of "all" took primary skin
# cancers too, but for Morley 2019; vulvar and Kaposi tumours are not skin metastases in the tables.
POPULATIONS = {
    "all": ("any", ""),
    "breast": ("cutaneous_metastases", "primary_tumour == 'breast'"),
    "melanoma": ("cutaneous_metastases", "primary_tumour == 'melanoma'"),
    "melanoma, intratumoral": ("cutaneous_metastases", "primary_tumour == 'melanoma' and route == 'intratumoral'"),
    "melanoma, intravenous": ("cutaneous_metastases", "primary_tumour == 'melanoma' and route == 'intravenous'"),
    "melanoma, studies to 2006": ("cutaneous_metastases", "primary_tumour == 'melanoma' and year <= 2006"),
    "bleomycin": ("any", "agent == 'bleomycin'"),
    "cisplatin": ("any", "agent == 'cisplatin'"),
    "vulvar": ("any", "primary_tumour == 'vulvar'"),
    "kaposi": ("any", "primary_tumour == 'kaposi'"),
}


def percent(res, low="ci_low", high="ci_high"):
    return f"{100 * getattr(res, low):.1f}-{100 * getattr(res, high):.1f}"


# %%
# Every trial in skin metastases.
lines = []
for outcome in ("complete_response", "objective_response"):
    for unit in ("lesion", "patient"):
        trials = metaan.load("electrochemotherapy", outcome=outcome, unit=unit)
        res = metaan.glmm("PLO", trials, **COUNTS).back()
        held = {"outcome": outcome, "unit": unit, "k": res.k, "n": trials["total"].sum()}
        rate = {"rate": f"{100 * res.estimate:.1f}", "95% CI": percent(res)}
        lines.append(held | rate | {"95% PI": percent(res, "pi_low", "pi_high"), "tau2": f"{res.tau2:.2f}"})
print("Electrochemotherapy of skin metastases, GLMM, rates in %\n")
print(pd.DataFrame(lines).to_string(index=False), "\n")

# %%
# The published reviews. Where a review does not say what it counted, both units are shown.
published = metaan.published()
lines = []
for target in published[published["therapy"] == "electrochemotherapy"].itertuples():
    for unit in [target.unit] if target.unit else ["lesion", "patient"]:
        said = f"{target.pooled_pct}" + ("" if pd.isna(target.ci_low) else f" ({target.ci_low}-{target.ci_high})")
        line = {"review": target.review_id, "population": target.population, "unit": unit, "outcome": target.outcome}
        line |= {"published": said, "k": target.k}
        site, rows = POPULATIONS.get(target.population, (None, ""))
        if site is None:
            lines.append(line | {"ours": "not comparable: no tumour sizes in the tables"})
            continue
        site = "cutaneous_metastases" if target.review_id == "morley2019" else site
        trials = metaan.load("electrochemotherapy", outcome=target.outcome, unit=unit, site=site)
        trials = trials.query(rows) if rows else trials
        if trials.empty:
            lines.append(line | {"ours": "not comparable: no such row"})
            continue
        res = metaan.glmm("PLO", trials, **COUNTS).back()
        gap = 100 * res.estimate - target.pooled_pct
        ours = f"{100 * res.estimate:.1f} ({percent(res)})"
        lines.append(line | {"ours": ours, "our k": res.k, "difference": f"{gap:+.1f}"})
print("Published reviews against the tables at hand, rates in % (95% CI)\n")
print(pd.DataFrame(lines).astype({"our k": "Int64"}).fillna("").to_string(index=False), "\n")

# %%
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion")
print(metaan.explain(trials))
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Complete response (% of lesions)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "03_electrochemotherapy.png", OUTPUT / "03_electrochemotherapy.svg")
