"""
How much of Spratt 2014 can be reproduced?
==========================================

Spratt and colleagues (J Clin Oncol 32:3144-3155) pooled 47 studies of skin-directed therapy. Of their Table 1,
23 rows can be read: the blocks of electrochemotherapy (ECT), photodynamic therapy (PDT) and radiotherapy (RT) are
complete, intralesional therapy (ILT) breaks off, topical therapy is missing. Each row is pooled here as printed, per
lesion, with the recipes in common use, and set against every figure of the review that could be found.
"""

from pathlib import Path

import pandas as pd

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}


def inverse_variance(measure, method):
    def rate(trials):
        eff = metaan.effect_size(measure, trials, **COUNTS, correction="only0")
        return 100 * metaan.pool(eff, method=method, test="z").back().estimate

    return rate


RECIPES = {
    "crude sum": lambda trials: 100 * trials["events"].sum() / trials["total"].sum(),
    "GLMM": lambda trials: 100 * metaan.glmm("PLO", trials, **COUNTS).back().estimate,
    "logit CE": inverse_variance("PLO", "CE"),
    "logit DL": inverse_variance("PLO", "DL"),
    "logit REML": inverse_variance("PLO", "REML"),
    "raw DL": inverse_variance("PR", "DL"),
    "arcsine REML": inverse_variance("PAS", "REML"),
    "double arcsine DL": inverse_variance("PFT", "DL"),
}

# %%
# Every therapy and outcome under every recipe, in per cent.
lines = []
for outcome in ("complete_response", "objective_response"):
    for therapy in ("ECT", "PDT", "RT", "ILT", "any"):
        trials = metaan.load("spratt2014", outcome=outcome, therapy=therapy)
        held = {"outcome": outcome, "therapy": therapy, "k": len(trials), "lesions": trials["total"].sum()}
        lines.append(held | {name: recipe(trials) for name, recipe in RECIPES.items()})
table = pd.DataFrame(lines).set_index(["outcome", "therapy"])
print("The 23 readable rows, pooled (rate, %)\n")
print(table.round(1).to_string(), "\n")

# %%
# Each published figure, and the recipe that comes closest to it with the rows in hand.
for target in metaan.published("spratt2014").itertuples():
    print(f"Published {target.outcome}: {target.pooled_pct} % of {target.n_lesions} lesions in {target.k} studies")
    if target.outcome not in table.index:
        print("  cannot be compared: Table 1 has no column for it\n")
        continue
    ours = table.loc[(target.outcome, "any")]
    gap = (ours[list(RECIPES)] - target.pooled_pct).astype(float)
    closest = gap.abs().idxmin()
    print(f"  closest: {closest}, {ours[closest]:.1f} % ({gap[closest]:+.1f}); all recipes: {ours[list(RECIPES)].min():.1f} "
          f"to {ours[list(RECIPES)].max():.1f} %, k = {ours['k']:.0f}")  # fmt: skip
    absent = target.n_lesions - ours["lesions"]
    events = (target.pooled_pct * target.n_lesions - ours["crude sum"] * ours["lesions"]) / absent
    print(f"  as a crude sum, the {absent:.0f} lesions not in hand would need {events:.1f} %\n")
print("""Not reproducible: the overall rates, because 24 of the 47 rows (the rest of ILT and all of topical therapy) could
not be read; recurrence, which Table 1 does not list. Rates by therapy were found in no readable text, so that the complete
blocks ECT, PDT and RT have nothing to be set against. Lesions of one patient are not independent.""")

# %%
# The complete blocks and the part of ILT, as printed.
trials = metaan.load("spratt2014", outcome="complete_response").sort_values(["therapy", "year"])
trials["study"] += " (" + trials["therapy"] + ")"
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Complete response (% of lesions)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "02_spratt2014.png", OUTPUT / "02_spratt2014.svg")
