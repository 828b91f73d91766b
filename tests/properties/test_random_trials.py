"""Many random sets of trials: the exact model answers each of them (benchmarks/fuzz_glmm.py runs 100,000)."""

import numpy as np
import pytest
from scipy.special import expit

import metaan


@pytest.mark.slow
def test_random_trials():
    rng = np.random.default_rng(61)
    for _ in range(2000):
        k = int(rng.integers(1, 41))
        n = rng.integers(1, int(rng.choice([3, 30, 501])), k)
        eta = rng.normal(rng.uniform(-6, 6), rng.uniform(0, 3), k)
        x = rng.binomial(n, expit(eta))
        res = metaan.glmm("PLO", events=x, total=n)
        back = res.back()
        codes = {note.code for note in res.notes}
        assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1, (x, n)
        assert np.isfinite([res.tau2, res.loglik, res.lrt_pvalue]).all(), (x, n)
        assert res.convergence.converged or "not-converged" in codes, (x, n)
        assert res.loglik >= res.loglik_common - 1e-9 or "tau2-unbounded" in codes, (x, n)
