"""The papers that a report cites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from metaan.reports.blocks import Block, Cite, Entry, Items, Line, Link, Paragraph, Run, Section, doi_link, line

__all__ = ["REFERENCES", "numbered_sections"]

REFERENCES: Final[Mapping[str, tuple[str, str]]] = {
    "stijnen": ("Stijnen T, Hamza TH, Özdemir P (2010). Stat Med 29:3046-3067.", "10.1002/sim.4040"),
    "houwelingen": (
        "van Houwelingen HC, Zwinderman KH, Stijnen T (1993). Stat Med 12:2273-2284.", "10.1002/sim.4780122405",
    ),
    "viechtbauer2005": ("Viechtbauer W (2005). J Educ Behav Stat 30:261-293.", "10.3102/10769986030003261"),
    "hartung": ("Hartung J, Knapp G (2001). Stat Med 20:3875-3889.", "10.1002/sim.1009"),
    "veroniki": ("Veroniki AA et al. (2019). Res Synth Methods 10:23-43.", "10.1002/jrsm.1319"),
    "young": ("Young-Xu Y, Chan KA (2008). BMC Med Res Methodol 8:58.", "10.1186/1471-2288-8-58"),
    "greenland": ("Greenland S, Salvan A (1990). Stat Med 9:247-252.", "10.1002/sim.4780090307"),
    "yusuf": ("Yusuf S, Peto R, Lewis J, Collins R, Sleight P (1985). Prog Cardiovasc Dis 27:335-371.", ""),
    "rover": ("Röver C (2020). J Stat Softw 93(6):1-51.", "10.18637/jss.v093.i06"),
    "rover2021": ("Röver C et al. (2021). Res Synth Methods 12:448-474.", "10.1002/jrsm.1475"),
    "hedges": ("Hedges LV, Tipton E, Johnson MC (2010). Res Synth Methods 1:39-65.", "10.1002/jrsm.5"),
    "pustejovsky": ("Pustejovsky JE, Tipton E (2018). J Bus Econ Stat 36:672-683.", "10.1080/07350015.2016.1247004"),
    "konstantopoulos": ("Konstantopoulos S (2011). Res Synth Methods 2:61-76.", "10.1002/jrsm.35"),
    "cheung": ("Cheung MWL (2014). Psychol Methods 19:211-229.", "10.1037/a0032968"),
    "borenstein": ("Borenstein M, Higgins JPT (2013). Prev Sci 14:134-143.", "10.1007/s11121-013-0377-7"),
    "welch": ("Welch BL (1951). Biometrika 38:330-336.", "10.1093/biomet/38.3-4.330"),
    "higgins2002": ("Higgins JPT, Thompson SG (2002). Stat Med 21:1539-1558.", "10.1002/sim.1186"),
    "viechtbauer2007": ("Viechtbauer W (2007). Stat Med 26:37-52.", "10.1002/sim.2514"),
    "influence": ("Viechtbauer W, Cheung MW-L (2010). Res Synth Methods 1:112-125.", "10.1002/jrsm.11"),
    "sterne": ("Sterne JAC et al. (2011). BMJ 343:d4002.", "10.1136/bmj.d4002"),
    "hunter": ("Hunter JP et al. (2014). J Clin Epidemiol 67:897-903.", "10.1016/j.jclinepi.2014.03.003"),
    "steegen": ("Steegen S et al. (2016). Perspect Psychol Sci 11:702-712.", "10.1177/1745691616658637"),
    "simonsohn": (
        "Simonsohn U, Simmons JP, Nelson LD (2020). Nat Hum Behav 4:1208-1214.", "10.1038/s41562-020-0912-z",
    ),
    "freeman": ("Freeman MF, Tukey JW (1950). Ann Math Stat 21:607-611.", "10.1214/aoms/1177729756"),
    "clopper": ("Clopper CJ, Pearson ES (1934). Biometrika 26:404-413.", "10.1093/biomet/26.4.404"),
    "egger": ("Egger M et al. (1997). BMJ 315:629-634.", "10.1136/bmj.315.7109.629"),
    "begg": ("Begg CB, Mazumdar M (1994). Biometrics 50:1088-1101.", "10.2307/2533446"),
    "harbord": ("Harbord RM, Egger M, Sterne JAC (2006). Stat Med 25:3443-3457.", "10.1002/sim.2380"),
    "peters": ("Peters JL et al. (2006). JAMA 295:676-680.", "10.1001/jama.295.6.676"),
    "rucker": ("Rücker G, Schwarzer G, Carpenter J (2008). Stat Med 27:746-763.", "10.1002/sim.2971"),
    "pustejovsky2019": ("Pustejovsky JE, Rodgers MA (2019). Res Synth Methods 10:57-71.", "10.1002/jrsm.1332"),
    "prisma": ("Page MJ et al. (2021). The PRISMA 2020 statement. BMJ 372:n71.", "10.1136/bmj.n71"),
}  # fmt: skip


def numbered_sections(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections with numbers for the references that they cite, in their order, and the list of these at the end."""
    known: dict[str, int] = {}
    done = [
        Section(name=one.name, title=one.title, applies=one.applies, blocks=tuple(_block(b, known) for b in one.blocks))
        for one in sections
    ]
    if known:
        entries = tuple(Entry(runs=_entry(key), anchor=f"ref-{number}") for key, number in known.items())
        title = "References of the methods"
        done.append(Section(name="references", title=title, blocks=(Items(entries=entries, numbered=True),)))
    return tuple(done)


def _entry(key: str) -> Line:
    text, doi = REFERENCES[key]
    return line(text, *((" ", doi_link(doi)) if doi else ()))


def _block(block: Block, known: dict[str, int]) -> Block:
    if isinstance(block, Paragraph):
        return Paragraph(runs=_line(block.runs, known), kind=block.kind)
    if isinstance(block, Items):
        entries = tuple(Entry(runs=_line(one.runs, known), anchor=one.anchor) for one in block.entries)
        return Items(entries=entries, numbered=block.numbered)
    return block


def _line(runs: Line, known: dict[str, int]) -> Line:
    made: list[Run] = []
    for run in runs:
        made += _numbers(run, known) if isinstance(run, Cite) else [run]
    return tuple(made)


def _numbers(cite: Cite, known: dict[str, int]) -> list[Run]:
    """Links to the references, in brackets."""
    made: list[Run] = [" ["]
    for i, key in enumerate(cite.keys):
        number = known.setdefault(key, len(known) + 1)
        made += [", "] * bool(i) + [Link(str(number), f"#ref-{number}")]
    return [*made, "]"]
