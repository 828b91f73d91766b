"""Trim and fill against its definition, study by study; metafor's numbers stand in tests/reference."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

import metaan
from metaan.core.inference import pieces
from metaan.core.tau2 import ESTIMATORS
from metaan.core.trim_and_fill import trim
from metaan.core.wls import Data, arrange
from metaan.errors import ConvergenceError, DataError, InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y = np.array([0.10, 0.12, 0.18, 0.30, 0.45, 0.60, 0.85])
V = np.array([0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15])
NAMES = ["Adams", "Baker", "Clark", "Davis", "Evans", "Frank", "Ghosh"]
SKEW = np.array([-0.22, -0.08, 0.11, 0.16, 0.19, 0.24, 0.31, 0.33, 0.42, 0.71, 0.95, 1.30])
WIDTH = np.array([0.08, 0.05, 0.01, 0.03, 0.02, 0.05, 0.04, 0.09, 0.03, 0.11, 0.15, 0.28])
X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


def missing(y, mu, estimator):
    """k0 of a funnel about mu whose small effects are missing, before rounding, from the printed formulas."""
    k = len(y)
    order = sorted(range(k), key=lambda i: abs(y[i] - mu))
    rank = {i: place + 1 for place, i in enumerate(order)}
    s = sum(rank[i] for i in range(k) if y[i] > mu)
    g = max((rank[i] for i in range(k) if y[i] < mu), default=0)
    return {
        "L0": (4 * s - k * (k + 1)) / (2 * k - 1),
        "R0": k - g - 1,
        "Q0": k - 0.5 - math.sqrt(2 * k**2 - 4 * s + 0.25),
    }[estimator]


@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
@pytest.mark.parametrize(("method", "a"), [("DL", None), ("ML", None), ("CE", None), ("GENQ", 1 / (WIDTH + 0.1))])
def test_by_definition(estimator, method, a):
    """The number found reproduces itself: k0 of the funnel about the mean without the k0 largest."""
    y, v = SKEW, WIDTH
    given = {} if a is None else {"weights": a}
    made = metaan.trim_and_fill(
        metaan.pool(metaan.effects(y, v), method=method, **given), estimator=estimator, side="left"
    )
    keep, far = np.split(np.argsort(y), [len(y) - made.k0])
    again = metaan.pool(metaan.effects(y[keep], v[keep]), method=method, **{name: w[keep] for name, w in given.items()})
    assert made.centre == pytest.approx(again.estimate, rel=1e-12)
    assert max(0, round(missing(y, made.centre, estimator))) == made.k0
    assert made.k0 > 0
    np.testing.assert_allclose(np.sort(made.filled.yi), np.sort(2 * made.centre - y[far]), rtol=1e-12)
    full = metaan.effects(np.append(y, 2 * made.centre - y[far]), np.append(v, v[far]))
    both = metaan.pool(full, method=method, **{name: np.append(w, w[far]) for name, w in given.items()})
    for name in ("estimate", "se", "tau2", "Q", "pi_low"):
        assert getattr(made.pooled, name) == pytest.approx(getattr(both, name), rel=1e-10, nan_ok=True)


def test_the_other_side_is_the_mirror_image():
    left = metaan.trim_and_fill(metaan.pool(metaan.effects(Y, V)))
    right = metaan.trim_and_fill(metaan.pool(metaan.effects(-Y, V)))
    assert (left.side, right.side) == ("left", "right")
    assert left.k0 == right.k0 == 3
    assert left.pooled.estimate == pytest.approx(-right.pooled.estimate, rel=1e-12)
    np.testing.assert_allclose(left.filled.yi, -right.filled.yi, rtol=1e-12)


def test_many_at_once():
    """A batch gives each data set what it has alone."""
    rng = np.random.default_rng(3)
    y, v = rng.normal(0, 0.5, (40, 12)), rng.uniform(0.01, 0.3, (40, 12))
    for estimator in ("L0", "R0"):
        every = trim(arrange(y, v), method="REML", estimator=estimator)
        for i in range(40):
            one = trim(Data.of_one(y[i], v[i]).column(), method="REML", estimator=estimator)
            assert one.k0[0] == every.k0[i]
            assert one.converged[0] == every.converged[i]
            assert one.mu[0] == pytest.approx(every.mu[i], rel=1e-10)


def test_what_is_trimmed_is_pooled_as_always():
    data = Data.of_one(Y, V).column()
    found = trim(data, method="DL", estimator="L0")
    keep = found.order[: 7 - found.k0[0], 0]
    part = Data.of_one(Y[keep], V[keep])
    mu = pieces(part, float(ESTIMATORS["DL"](part.column(), None).tau2[0])).mu
    assert found.mu[0] == pytest.approx(float(mu), rel=1e-12)


def test_labels_and_text():
    made = metaan.trim_and_fill(metaan.pool(metaan.effects(Y, V, study=NAMES)))
    assert list(made.filled.study) == ["Filled: Evans", "Filled: Frank", "Filled: Ghosh"]
    assert set(made.filled.columns) <= set(COLUMNS)
    assert list(made.filled.mirror_of) == ["Evans", "Frank", "Ghosh"]
    assert made.pooled.effects.study[7:] == tuple(made.filled.study)
    assert "3 filled studies are imputed" in str(made)
    assert any(note.code == "filled" and len(note.studies) == 3 for note in made.pooled.notes)
    assert len(str(made).splitlines()) <= 20
    assert list(made.to_frame().studies) == ["observed", "filled"]
    json.dumps(made.to_dict(), allow_nan=False)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert str(again) == str(made)
        assert not again.pooled.weights.flags.writeable


def test_nothing_missing():
    res = metaan.pool(metaan.effects([0.1, 0.3, 0.2, 0.15], [0.01, 0.02, 0.03, 0.01]))
    made = metaan.trim_and_fill(res, side="left", estimator="R0")
    assert made.k0 == 0
    assert made.pvalue == 0.5
    assert made.pooled is made.original
    assert made.filled.empty
    assert "unchanged" in str(made)


@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
@pytest.mark.parametrize("method", ["REML", "CE"])
def test_identical_effects(estimator, method):
    res = metaan.pool(metaan.effects([0.3] * 4, [0.01, 0.02, 0.03, 0.04]), method=method, test="z")
    assert metaan.trim_and_fill(res, side="left", estimator=estimator).k0 == 0


def test_rates():
    """The filled studies keep their sizes, which the Freeman-Tukey inverse needs; linked variances are noted first."""
    eff = metaan.effect_size("PFT", events=[40, 38, 30, 14, 9, 8, 5], total=[200, 180, 140, 50, 25, 20, 8])
    made = metaan.trim_and_fill(metaan.pool(eff))
    assert made.k0 > 0
    assert len(made.pooled.effects.total) == 7 + made.k0
    assert 0 < made.pooled.back().estimate < 1
    assert "ft-n" in {note.code for note in made.notes}
    assert "linked-variance" not in {note.code for note in made.notes}
    logit = metaan.trim_and_fill(metaan.pool(metaan.effect_size("PLO", events=X, total=N)).back())
    assert logit.original.scale == "analysis"
    assert "linked-variance" in [note.code for note in logit.notes][:2]
    assert "'PAS'" in str(logit)


def test_a_number_that_goes_in_circles():
    y, v = [0.64, -7.62, 0.75, 0.13, 0.21], [0.559, 18.742, 20.359, 0.082, 1.925]
    res = metaan.pool(metaan.effects(y, v), method="DL")
    with pytest.raises(ConvergenceError, match="Choose another: 'R0', 'Q0'"):
        metaan.trim_and_fill(res, side="left")
    with pytest.raises(DataError, match="Choose another estimator: 'L0', 'R0'"):
        metaan.trim_and_fill(metaan.pool(metaan.effects(Y, V)), side="left", estimator="Q0")


def test_what_is_refused():
    res = metaan.pool(metaan.effects(Y, V))
    with pytest.raises(OptionError, match="effect sizes with sampling variances"):
        metaan.trim_and_fill(metaan.glmm("PLO", events=X, total=N))
    with pytest.raises(OptionError, match="robust"):
        metaan.trim_and_fill(metaan.robust(metaan.pool(metaan.effects(Y, V)), cluster=list(range(len(Y)))))
    with pytest.raises(InputError, match="at least 3 studies"):
        metaan.trim_and_fill(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.2])))
    with pytest.raises(DataError, match="side="):
        metaan.trim_and_fill(metaan.pool(metaan.effects([0.1, 0.2, 0.5], [0.1, 0.1, 0.1])))
    with pytest.raises(OptionError, match="Did you mean 'left'"):
        metaan.trim_and_fill(res, side="Left")
    with pytest.raises(OptionError, match="L0, R0, Q0"):
        metaan.trim_and_fill(res, estimator="L1")
    for bad in (0, 1.5, True):
        with pytest.raises(OptionError, match="whole number"):
            metaan.trim_and_fill(res, max_iterations=bad)
    with pytest.raises(InputError):
        metaan.trim_and_fill("res")
    with pytest.raises(ConvergenceError):
        metaan.trim_and_fill(res, max_iterations=1)
