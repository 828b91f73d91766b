"""What is asked after a fit, against metafor and PyMARE: deletion, permutations, subsets, resamples, selection models.

48 studies (dat.bangertdrowns2004 of R's metadat, read from the R session), REML with normal inference unless a row
says otherwise; leave-one-out and influence for the 13 BCG trials too. Before anything is timed, the numbers must agree.
metafor fits a part of the subsets and resamples, and its time is multiplied. A bootstrap is no function of metafor: the
loop is what its users write.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from metafor_session import Metafor
from pymare import Dataset
from pymare.estimators import DerSimonianLaird
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


def pymare(res: metaan.PoolResult) -> list[Contender]:
    """1,000 permutations of the intercept-only model by DerSimonian and Laird, which both have in closed form."""
    eff = res.effects
    common = metaan.pool(eff, method="DL", test="z")
    made = DerSimonianLaird().fit_dataset(Dataset(eff.yi, eff.vi, add_intercept=True)).summary()
    assert_close("DL", [common.estimate], [float(np.ravel(made.fe_params)[0])])
    return [
        called("metaan.permutation_test, DL", lambda: metaan.permutation_test(common, n=PERMUTATIONS, exact=False)),
        called("pymare permutation_test, DL", lambda: made.permutation_test(n_perm=PERMUTATIONS)),
    ]


def main() -> None:
    arguments = options(__doc__, rounds=5).parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "scipy", "pymare")
    tables = []
    with Metafor() as r:
        found["metafor"] = r.version()
        print(found)
        fits = prepared(r)
        for title, function, expression, times in pairs(*fits):
            rows = [called("metaan", function), r.called("metafor", expression, times)]
            tables.append(report(title, interleaved(rows, arguments.rounds), "metaan"))
        rows = pymare(fits[0])
        tables.append(report("1,000 permutations, k = 48, DL", interleaved(rows, arguments.rounds), rows[0].name))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
