"""
Stacked bars: how complete are the responses to electrochemotherapy?
====================================================================

Each bar is a study, from complete response (dark) to progressive disease (hatched); the bar below has the mean shares
of a model that pools the four categories together, their intervals stand in the key. Few trials print all four counts,
and lesions of one patient are alike: read the bars with n beside them.
"""

from pathlib import Path

import metaan

(output := Path(__file__).parent / "output").mkdir(exist_ok=True)
counts = metaan.response_table("electrochemotherapy", unit="lesion", overlaps="prefer_largest")
res = metaan.categories(counts)
print(metaan.plot.categories_table(res).query("row == 'pooled'")[["category", "share", "low", "high"]].round(3))

ax = metaan.plot.categories(res)
print(metaan.plot.alt_text(ax))
metaan.plot.save(ax, output / "categories.png", dpi=150)
