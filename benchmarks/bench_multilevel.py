"""Multilevel models against pimeta and metafor: 56 schools in 11 districts, 100 and 1,000 clusters, what follows a fit.

The schools are dat.konstantopoulos2011 of R's metadat, read from the reference grid of the tests; clusters of 1 to 5
estimates are made up. REML with normal inference; estimate, standard error and variance components, robust standard
errors (CR1p, the default of metafor) and Cook's distances must agree before anything is timed. A result of metaan holds
QE, I2 of each level, weights, leverages, fitted and shrunken effects too; of pimeta and metafor the fitting call alone
is timed, which favours them. pimeta inverts matrices of all estimates, which takes minutes for 1,000 clusters: it is
timed for 100.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from metafor_session import Metafor, session
from peers import pimeta
from side_by_side import Contender, assert_close, called, interleaved, one_thread, options, report, surroundings, write
from trials import FloatArray

import metaan

GRID = Path(__file__).resolve().parents[1] / "tests" / "reference" / "multilevel_grid.json"


SPARSE = 500  # estimates from which metafor is told to take sparse matrices
PEER = 1e-3  # pimeta stops its search earlier
DELETION = 1e-3  # so does each refit of metafor


class Data(NamedTuple):
    """Estimates in groups, and what the groups are called in both languages."""

    name: str
    yi: FloatArray
    vi: FloatArray
    groups: dict[str, FloatArray]
    random: str


def schools() -> Data:
    """dat.konstantopoulos2011."""
    cell = json.loads(GRID.read_text(encoding="utf-8"))["cases"]["konstantopoulos2011"]
    groups = {name: np.array(codes, dtype=float) for name, codes in zip(cell["levels"], cell["groups"], strict=True)}
    return Data("56 schools in 11 districts", np.array(cell["yi"]), np.array(cell["vi"]), groups, "district/school")


def made_up(clusters: int, seed: int = 5) -> Data:
    """Clusters of 1 to 5 estimates whose true effects differ within and between them."""
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(clusters), rng.integers(1, 6, clusters))
    vi = rng.uniform(0.02, 0.2, study.size)
    yi = 0.3 + rng.normal(0, 0.3, clusters)[study] + rng.normal(0, 0.2, study.size) + rng.normal(0, np.sqrt(vi))
    groups = {"study": study.astype(float), "row": np.arange(study.size, dtype=float)}
    return Data(f"{study.size} estimates in {clusters:,} clusters", yi, vi, groups, "study/row")


def metaan_fit(data: Data, frame: pd.DataFrame) -> metaan.MultilevelResult:
    """Check the input, fit, and fill every field of the result."""
    return metaan.multilevel(metaan.effects(data.yi, data.vi, data=frame), data.random, test="z")


def pimeta_fit(data: Data) -> Any:
    return pimeta.rma_mv(data.yi, vi=data.vi, data=data.groups, random=f"~ 1 | {data.random}", method="REML", test="z")


def metafor_fit(data: Data, r: Metafor) -> str:
    """Call of metafor, its data in the session; sparse matrices make it faster where there are many clusters."""
    for name, values in {"yi": data.yi, "vi": data.vi, **data.groups}.items():
        r.numbers(f"{{{name} <- numeric(0); 0}}")
        for part in np.array_split(values, 1 + len(values) // 100):  # R reads lines of 4,095 characters at most
            r.numbers(f"{{{name} <- c({name}, {', '.join(repr(float(v)) for v in part)}); 0}}")
    sparse = "TRUE" if len(data.yi) > SPARSE else "FALSE"
    return f"rma.mv(yi, vi, random=~1|{data.random}, method='REML', test='z', sparse={sparse})"


def fits(data: Data, r: Metafor | None, *, peer: bool) -> tuple[metaan.MultilevelResult, list[Contender]]:
    """Contenders for one fit; metafor's is left in its session as m."""
    frame = pd.DataFrame(data.groups)
    fit = metaan_fit(data, frame)
    want = [fit.estimate[0], fit.se[0], *fit.sigma2]
    contenders = [
        called("metaan.multilevel(metaan.effects(...)), full result", lambda: metaan_fit(data, frame)),
        called("metaan.multilevel alone", lambda: metaan.multilevel(fit.effects, data.random, test="z")),
    ]
    if peer and pimeta:
        theirs = pimeta_fit(data)
        assert_close("pimeta", [np.ravel(theirs.beta)[0], np.ravel(theirs.se)[0], *theirs.sigma2], want, PEER)
        contenders.append(called("pimeta.rma_mv", lambda: pimeta_fit(data)))
    if r:
        call = metafor_fit(data, r)
        found = r.numbers(f"{{m <- {call}; c(m$beta, m$se, m$sigma2, logLik(m))}}")
        assert_close("metafor", found, [*want, fit.loglik])
        contenders.append(r.called("metafor rma.mv", call))
    return fit, contenders


def robust(fit: metaan.MultilevelResult, cluster: str, r: Metafor | None) -> list[Contender]:
    """Cluster-robust standard errors: metafor's own kind, and ours by default."""
    contenders = [
        called("metaan.robust, CR1p", lambda: metaan.robust(fit, cluster, kind="CR1p")),
        called("metaan.robust, CR2 with Satterthwaite's df", lambda: metaan.robust(fit, cluster)),
    ]
    if r:
        call = f"robust(m, cluster={cluster})"
        assert_close("metafor", r.numbers(f"{{x <- {call}; x$se}}"), metaan.robust(fit, cluster, kind="CR1p").se)
        contenders.append(r.called("metafor robust, CR1p", call))
    return contenders


def deletions(fit: metaan.MultilevelResult, r: Metafor | None) -> list[Contender]:
    """Deletion diagnostics of every estimate: 56 fits."""
    ours = metaan.influence(fit)
    contenders = [called("metaan.influence, full table", lambda: metaan.influence(fit))]
    if r:
        assert_close("metafor", r.numbers("cooks.distance(m)"), ours["cooks_d"], DELETION)
        contenders.append(r.called("metafor cooks.distance", "cooks.distance(m)"))
    return contenders


def main() -> None:
    arguments = options(__doc__, rounds=11).parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "scipy", "pandas", "pimeta")
    with session(found) as r:
        tables, few = [], min(3, arguments.rounds)
        for data, rounds, peer in (
            (schools(), arguments.rounds, True), (made_up(100), few, True), (made_up(1000), few, False),
        ):  # fmt: skip
            fit, contenders = fits(data, r, peer=peer)
            tables.append(report(data.name, interleaved(contenders, rounds), contenders[0].name))
            if not peer:
                more = robust(fit, "study", r)
                tables.append(report(f"robust, {data.name}", interleaved(more, few), more[0].name))
            elif data.random == "district/school":
                more = deletions(fit, r)
                tables.append(report(f"each estimate left out, {data.name}", interleaved(more, few), more[0].name))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
