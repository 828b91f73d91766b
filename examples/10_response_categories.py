"""
Complete, partial, stable, progressive
======================================

A trial reports four categories that exclude each other. Pooled one by one their rates need not sum to 1, and complete
response can exceed objective response; pooled together (Dirichlet-multinomial model) they cannot. Electrochemotherapy,
lesions: the trials whose four counts are printed or follow from what is printed.
"""

from pathlib import Path

import pandas as pd

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
NAMES = {"cr": "complete response", "pr": "partial response", "sd": "stable disease", "pd": "progressive disease"}

table = metaan.response_table("electrochemotherapy", unit="lesion", overlaps="prefer_largest")
res = metaan.categories(table)
print(res, "\n")

alone = {
    name: metaan.glmm("PLO", table, events=code, total="total", study="study").mean_rate for code, name in NAMES.items()
}
shares = res.to_frame().set_index("category")
rows = [
    {
        "category": name, "together": shares.loc[code, "estimate"], "low": shares.loc[code, "ci_low"],
        "high": shares.loc[code, "ci_high"], "one by one": alone[name].estimate,
    }
    for code, name in NAMES.items()
]  # fmt: skip
compared = pd.DataFrame(rows).set_index("category")
print("Mean shares over studies, pooled together (95% CI) and one by one\n")
print(compared.round(3).to_string(), "\n")
print(compared[["together", "one by one"]].sum().rename("sum").round(3).to_string(), "\n")

ax = metaan.plot.categories(res, xlabel="Lesions (%)")
print(metaan.plot.alt_text(ax))
metaan.plot.save(ax, OUTPUT / "10_response_categories.png", OUTPUT / "10_response_categories.svg")
