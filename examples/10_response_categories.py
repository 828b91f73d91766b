"""
Complete, partial, stable, progressive
======================================

A trial reports four categories that exclude each other. Pooled one by one their rates need not sum to 1, and complete
response can exceed objective response; pooled together (Dirichlet-multinomial model) they cannot. Electrochemotherapy,
lesions: the trials whose four counts are printed or follow from what is printed.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

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

bars = res.bars()
order = list(dict.fromkeys(bars["study"]))
fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
for code, colour in zip(NAMES, sns.color_palette("crest", len(NAMES)), strict=True):
    part = bars[bars["category"] == code].set_index("study").loc[order]
    ax.barh(order, 100 * (part["end"] - part["start"]), left=100 * part["start"], color=colour, label=NAMES[code])
    for y, (start, end) in enumerate(zip(part["start"], part["end"], strict=True)):
        if end - start > 0.06:
            dark = "white" if code in ("sd", "pd") else "black"
            ax.text(50 * (start + end), y, f"{100 * (end - start):.0f}", ha="center", va="center", size=8, color=dark)
for y, total in enumerate(bars.drop_duplicates("study")["total"]):
    ax.text(101, y, f"n {total:.0f}", va="center", fontsize=8, clip_on=False)
ax.axhline(len(order) - 1.5, color="0.3", lw=0.8)
ax.set(xlim=(0, 100), xlabel="Lesions (%)", title="Response of lesions to electrochemotherapy")
ax.invert_yaxis()
fig.legend(*ax.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=4)
sns.despine(fig, left=True)
metaan.plot.save(ax, OUTPUT / "10_response_categories.png", OUTPUT / "10_response_categories.svg")
