"""
Does electrochemotherapy work as well as its reviews say?
=========================================================

Trials in skin metastases, lesions and patients apart, of those that share patients the largest; then each published
rate against the rows at hand that come closest to it. Mali's main paper of 2013 could not be read; his paper on
tumour size is there.
"""

from pathlib import Path
from warnings import simplefilter

import pandas as pd

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
COUNTS = {"events": "events", "total": "total", "study": "study"}
UNITS = ["lesion", "patient"]
SKIN = "site == 'cutaneous_metastases'"
ANY_SKIN = "site in ('cutaneous_metastases', 'primary_skin_cancer', 'mixed')"
MELANOMA = f"{SKIN} and primary_tumour == 'melanoma'"
# Population of a review: the rows that come closest to it.
ROWS = {
    "all": SKIN, "melanoma": MELANOMA, "melanoma, studies to 2006": MELANOMA,
    "melanoma, intratumoral": f"{MELANOMA} and route == 'intratumoral'",
    "melanoma, intravenous": f"{MELANOMA} and route == 'intravenous'",
    "breast": f"{SKIN} and primary_tumour == 'breast'", "vulvar": "primary_tumour == 'vulvar'",
    "kaposi": "primary_tumour == 'kaposi'", "seyedjafari2018 all": ANY_SKIN,
    "bleomycin": f"{ANY_SKIN} and agent == 'bleomycin'", "cisplatin": f"{ANY_SKIN} and agent == 'cisplatin'",
}  # fmt: skip
# Last year of a review where that is not the year in its name; Ferioli's on breast cancer is not dated.
LAST = {"mali2013size": 2013, "morley2019": 2017, "handbook2016": 2006, "feriolibreast": 9999}


def percent(rate, low, high):
    return f"{rate:.1f} ({low:.1f}-{high:.1f})" if low == low else f"{rate:.1f}"


def ours(trials, model="GLMM"):
    res, total = metaan.glmm("PLO", trials, **COUNTS, test="t").back(), trials["total"].sum()
    numbers = [100 * number for number in (res.estimate, res.ci_low, res.ci_high)]
    if model == "crude":
        numbers = [100 * trials["events"].sum() / total, float("nan"), float("nan")]
    return {"our k": str(res.k), "our n": str(total), "model": model, "ours": percent(*numbers), "rate": numbers[0]}


# Reviews pooled studies that share patients, and are compared with every row; our own rates keep the largest.
simplefilter("ignore", metaan.errors.OverlapWarning)
every, lines = {}, []
for asked in ({"outcome": o, "unit": u} for o in ("complete_response", "objective_response") for u in UNITS):
    every[tuple(asked.values())] = metaan.load("electrochemotherapy", **asked, site="any", overlaps="keep")
    skin = metaan.load("electrochemotherapy", **asked, overlaps="prefer_largest")
    caution = "; ".join(str(note) for note in metaan.explain(skin).notes if note.code == "combined")
    lines.append(asked | ours(skin) | {"caution": caution})
print("Electrochemotherapy of skin metastases by GLMM: rates in % (95% CI, t with k-1 df)\n")
print(pd.DataFrame(lines).drop(columns="rate").to_string(index=False), "\n")

lines = []
for target in metaan.published().query("therapy == 'electrochemotherapy'").itertuples():
    rows = ROWS.get(f"{target.review_id} {target.population}", ROWS.get(target.population))
    last = LAST.get(target.review_id, target.review_id[-4:])
    n = {"lesion": target.n_lesions, "patient": target.n_patients}
    for unit in [target.unit] if target.unit else UNITS:  # not said: both are shown
        line = {"review": target.review_id, "population": target.population, "outcome": target.outcome, "unit": unit}
        line["n"] = next((f"{n[u]} {u}s" for u in (unit, "lesion", "patient") if n[u] is not pd.NA), "?")
        published = percent(target.pooled_pct, target.ci_low, target.ci_high)
        line |= {"k": str(target.k).replace("<NA>", "?"), "published": published}
        if (trials := every[target.outcome, unit].query(f"{rows or 'total < 0'} and year <= {last}")).empty:
            line["ours"] = f"not comparable: no {'rows' if rows else 'counts by size'}"
        else:
            line |= ours(trials, "crude" if target.model == "crude sum" else "GLMM")
            line["points"] = f"{line['rate'] - target.pooled_pct:+.1f}"
        lines.append(line)
print("Published reviews against the tables at hand, rates in % (95% CI; ours t with k-1 df), points of difference")
print("Ours, to the year of the review, are not all of its studies: a difference is no error. '?': not said.\n")
order = ["review", "population", "outcome", "unit", "k", "n", "published", "our k", "our n", "model", "ours", "points"]
print(pd.DataFrame(lines)[order].fillna("").to_string(index=False), "\n")

trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
print(metaan.explain(trials))
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Complete response (% of lesions)")
metaan.plot.save(ax, OUTPUT / "03_electrochemotherapy.png", OUTPUT / "03_electrochemotherapy.svg")
