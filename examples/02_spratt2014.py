"""
How much of Spratt 2014 can be reproduced?
==========================================

Of the 47 rows of their Table 1 (J Clin Oncol 32:3144), 23 can be read: electrochemotherapy (ECT),
photodynamic therapy (PDT) and radiotherapy (RT) are complete, intralesional therapy (ILT) breaks off.
The published rates come from a lay summary, not from the paper.
"""

from pathlib import Path

import pandas as pd

import metaan

OUTPUT = Path(__file__).parent / "output"
COUNTS = {"events": "events", "total": "total", "study": "study"}


def inverse_variance(measure, method):
    """Recipe with the usual weights: pooled rate in per cent."""

    def rate(trials):
        eff = metaan.effect_size(measure, trials, **COUNTS, correction="only0")
        return 100 * metaan.pool(eff, method=method).back().estimate

    return rate


RECIPES = {"crude": lambda trials: 100 * trials["events"].sum() / trials["total"].sum()}
RECIPES["GLMM"] = lambda trials: 100 * metaan.glmm("PLO", trials, **COUNTS).back().estimate
for name in ("PLO CE", "PLO DL", "PLO REML", "PR DL", "PAS REML", "PFT DL"):
    RECIPES[name] = inverse_variance(*name.split())

lines = []
for outcome in ("complete_response", "objective_response"):
    for therapy in ("ECT", "PDT", "RT", "ILT", "any"):
        trials = metaan.load("spratt2014", outcome=outcome, therapy=therapy)
        held = {"outcome": outcome, "therapy": therapy, "k": len(trials), "lesions": trials["total"].sum()}
        lines.append(held | {name: recipe(trials) for name, recipe in RECIPES.items()})
table = pd.DataFrame(lines).set_index(["outcome", "therapy"])
print("The readable rows as printed, pooled by each recipe (% of lesions)\n")
print(table.round(1).to_string(), "\n")

for outcome in ("complete_response", "objective_response"):
    story = metaan.explain(metaan.load("spratt2014", outcome=outcome))
    print(f"{outcome}: {story.kept} of the {story.total} readable rows give it")
    print(*(f"  {note}" for note in story.notes if note.code == "printed-unit"), sep="\n")
print("\nThe published rates come from a lay summary, not from the paper.")
for target in metaan.published("spratt2014").itertuples():
    print(f"Published {target.outcome}: {target.pooled_pct} % of {target.n_lesions} lesions, {target.k} studies")
    if target.outcome not in table.index:
        print("  not comparable: Table 1 has no column for it")
        continue
    ours, rates = table.loc[(target.outcome, "any")], table.loc[(target.outcome, "any"), list(RECIPES)]
    best, rest = (rates - target.pooled_pct).abs().idxmin(), target.n_lesions - ours["lesions"]
    needed = (target.pooled_pct * target.n_lesions - ours["crude"] * ours["lesions"]) / rest
    print(f"  closest recipe {best}: {rates[best]:.1f} %, difference {rates[best] - target.pooled_pct:+.1f}")
    print(
        f"  with {ours['k']:.0f} of {target.k} rows the recipes span {rates.min():.1f} to {rates.max():.1f} %", end=""
    )
    print(" and cannot be told apart: the closest need not be the one used")
    print(f"  crude rates agree if {needed:.1f} % of the {rest:.0f} lesions not in hand responded")
print("Not reproducible: the overall rates, as 24 of 47 rows (most of ILT, all topical therapy) are missing;")
print("recurrence; and rates by therapy, as none was found in any text: the complete blocks have no target.")

trials = metaan.load("spratt2014", outcome="complete_response").sort_values(["therapy", "year"])
trials["study"] += " (" + trials["therapy"] + ")"
ax = metaan.plot.forest(metaan.glmm("PLO", trials, **COUNTS), xlabel="Complete response (% of lesions)")
OUTPUT.mkdir(exist_ok=True)
metaan.plot.save(ax, OUTPUT / "02_spratt2014.png", OUTPUT / "02_spratt2014.svg")
