"""
Profile likelihood: how much do the counts say about heterogeneity?
===================================================================

The likelihood of the counts for each value of the between-study standard deviation, the pooled rate at its best every
time. Where the curve crosses the dashed line the profile-likelihood interval ends. The curve leans to the right: from
these studies large heterogeneity is harder to rule out than small, which no estimate with a standard error would show.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study", ci="profile")
ax = metaan.plot.profile(res, parameter="tau")
metaan.plot.save(ax, OUTPUT / "profile.png", dpi=150)
metaan.plot.save(metaan.plot.profile(res, parameter="estimate"), OUTPUT / "profile_rate.png", dpi=150)
print(metaan.plot.alt_text(ax))
