"""What is asked after a fit, against metafor, pimeta and PyMARE: deletion, permutations, subsets, resamples, selection.

48 studies (dat.bangertdrowns2004 of R's metadat, read from the R session), REML with normal inference unless a row
says otherwise; leave-one-out and influence for the 13 BCG trials too. Before anything is timed, the numbers must agree.
metafor fits a part of the subsets and resamples, and its time is multiplied. A bootstrap is no function of metafor: the
loop is what its users write.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pimeta
from metafor_session import Metafor
from pymare import Dataset
from pymare.estimators import DerSimonianLaird, VarianceBasedLikelihoodEstimator
from side_by_side import Contender, assert_close, called, interleaved, one_thread, options, report, surroundings, write
from trials import bcg

import metaan

PERMUTATIONS, SUBSETS, RESAMPLES, PART = 1000, 2**14, 2000, 100
Row = tuple[str, Callable[[], object], str, float]


def pairs(
    res: metaan.PoolResult, fit: metaan.RegressResult, few: metaan.PoolResult
) -> list[tuple[str, Callable[[], object], str, float]]:
    """Title, our call, metafor's expression and what its time is multiplied by."""
    resample = f"for (i in 1:{PART}) {{j <- sample(48, replace=TRUE); rma(y[j], v[j], method='REML')}}"
    return [
        ("leave-one-out, k = 48", lambda: metaan.leave_one_out(res), "leave1out(m)", 1),
        ("leave-one-out, k = 13", lambda: metaan.leave_one_out(few), "leave1out(b)", 1),
        ("cumulative, k = 48", lambda: metaan.cumulative(res), "cumul(m)", 1),
        ("influence, k = 48", lambda: metaan.influence(res), "influence(m)", 1),
        ("influence, k = 13", lambda: metaan.influence(few), "influence(b)", 1),
        ("influence, one moderator, k = 48", lambda: metaan.influence(fit), "influence(f)", 1),
        (
            "1,000 permutations, k = 48", lambda: metaan.permutation_test(res, n=PERMUTATIONS, exact=False),
            f"permutest(m, iter={PERMUTATIONS}, progbar=FALSE)", 1,
        ),
        (
            "1,000 permutations, one moderator, k = 48",
            lambda: metaan.permutation_test(fit, n=PERMUTATIONS, exact=False),
            f"permutest(f, iter={PERMUTATIONS}, progbar=FALSE)", 1,
        ),
        (
            "GOSH of 16,384 subsets, k = 48", lambda: metaan.gosh(res, subsets=SUBSETS),
            f"gosh(m, subsets={PART}, progbar=FALSE)", SUBSETS / PART,
        ),
        (
            "2,000 resamples, k = 48", lambda: metaan.bootstrap(res, n=RESAMPLES, kind="nonparametric"),
            f"{{{resample}}}", RESAMPLES / PART,
        ),
        (
            "step selection model, k = 48", lambda: metaan.selection_model(res, kind="step", steps=(0.025,)),
            "selmodel(l, type='stepfun', steps=0.025)", 1,
        ),
        ("trim and fill, k = 48", lambda: metaan.trim_and_fill(res), "trimfill(m)", 1),
        ("Egger's test, k = 48", lambda: metaan.egger(res), "regtest(m, model='lm')", 1),
    ]  # fmt: skip


def prepared(r: Metafor) -> tuple[metaan.PoolResult, metaan.RegressResult, metaan.PoolResult]:
    """The fits, the same in both programs."""
    r.numbers("{d <- metadat::dat.bangertdrowns2004; y <- d$yi; v <- d$vi; x <- d$year; 0}")
    y, v, x = (np.array(r.numbers(name)) for name in ("y", "v", "x"))
    yi, vi = bcg()
    r.assign("by", yi)
    r.assign("bv", vi)
    r.numbers("{m <- rma(y, v); l <- rma(y, v, method='ML'); f <- rma(y, v, mods=~x); b <- rma(by, bv); 0}")
    data = {"y": y, "v": v, "x": x}
    import pandas as pd

    eff = metaan.effects("y", "v", data=pd.DataFrame(data), measure="SMD")
    res, fit = metaan.pool(eff, test="z"), metaan.regress(eff, "~ x", test="z")
    few = metaan.pool(metaan.effects(yi, vi), test="z")
    assert_close("pooled", [res.estimate, res.tau2], r.numbers("c(m$beta, m$tau2)"))
    assert_close("regression", [*fit.estimate, fit.tau2], r.numbers("c(f$beta, f$tau2)"))
    assert_close("leave-one-out", metaan.leave_one_out(res)["estimate"], r.numbers("leave1out(m)$estimate"))
    return res, fit, few


def pimeta_rows(res: metaan.PoolResult, few: metaan.PoolResult) -> dict[str, Contender]:
    """Rows of pimeta by title; its numbers must be ours."""
    found = {}
    for size, fit in (("k = 48", res), ("k = 13", few)):
        y, v = fit.effects.yi, fit.effects.vi
        theirs, ours = pimeta.leave1out(y, v, method="REML"), metaan.leave_one_out(fit)
        assert_close("pimeta.leave1out", np.ravel(theirs.estimate).tolist(), ours["estimate"].tolist())
        found[f"leave-one-out, {size}"] = called("pimeta", lambda y=y, v=v: pimeta.leave1out(y, v, method="REML"))
        cook = np.ravel(pimeta.influence(y, v, method="REML").cook_d).tolist()
        assert_close("pimeta.influence", cook, metaan.influence(fit)["cooks_d"].tolist(), 1e-3)
        found[f"influence, {size}"] = called("pimeta", lambda y=y, v=v: pimeta.influence(y, v, method="REML"))
    return found


def pymare_rows(res: metaan.PoolResult, fit: metaan.RegressResult) -> dict[str, list[Contender]]:
    """1,000 permutations by PyMARE: REML, and DerSimonian and Laird, which both have in closed form."""
    eff, x = res.effects, fit.moderators.matrix[:, 1:]
    found: dict[str, list[Contender]] = {}
    for method in ("REML", "DL"):
        for title, design in (("1,000 permutations, k = 48", None), ("1,000 permutations, one moderator, k = 48", x)):
            reml = VarianceBasedLikelihoodEstimator(method="REML", small_sample_correction="wald")
            estimator = reml if method == "REML" else DerSimonianLaird()  # a new one: results ask it again
            theirs = estimator.fit_dataset(Dataset(eff.yi, eff.vi, X=design, add_intercept=True)).summary()
            ours = (
                metaan.pool(eff, method=method, test="z")
                if design is None
                else metaan.regress(eff, "~ x", method=method, test="z")
            )
            assert_close(f"PyMARE {method}", sorted(np.ravel(theirs.fe_params)), sorted(np.ravel(ours.estimate)), 1e-3)
            row = called("PyMARE", lambda theirs=theirs: theirs.permutation_test(n_perm=PERMUTATIONS))
            if method == "REML":
                found[title] = [row]
            else:
                own = called("metaan", lambda ours=ours: metaan.permutation_test(ours, n=PERMUTATIONS, exact=False))
                found[f"{title}, DL"] = [own, row]
    return found


def main() -> None:
    arguments = options(__doc__, rounds=5).parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "scipy", "pimeta", "pymare")
    tables = []
    with Metafor() as r:
        found["metafor"] = r.version()
        fits = prepared(r)
        table, others = pimeta_rows(fits[0], fits[2]), pymare_rows(fits[0], fits[1])
        for title, function, expression, times in pairs(*fits):
            rows = [called("metaan", function), r.called("metafor", expression, times)]
            rows += [table[title]] if title in table else []
            rows += others.pop(title, [])
            tables.append(report(title, interleaved(rows, arguments.rounds), "metaan"))
    for title, rows in others.items():
        tables.append(report(title, interleaved(rows, arguments.rounds), "metaan"))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
