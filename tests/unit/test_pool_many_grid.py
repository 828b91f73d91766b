"""pool_many on the arrays of dask and xarray equals pool_many in memory."""

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError

dask = pytest.importorskip("dask")
pytest.importorskip("dask.dataframe")
da = pytest.importorskip("dask.array")
xr = pytest.importorskip("xarray")

N, K = 40, 6


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def arrays(seed=1):
    """Sets of 0 to 6 studies."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.4, (N, K))
    y = rng.normal(0.3, np.sqrt(v + rng.choice([0, 0.1], (N, 1))))
    gone = np.arange(K) >= rng.integers(0, K + 1, (N, 1))
    y[gone] = v[gone] = np.nan
    return y, v


def labelled():
    """The same over two dimensions and that of studies."""
    names = ("place", "year", "study")
    at = {"place": list("abcde"), "study": np.arange(K)}
    return tuple(xr.DataArray(a.reshape(5, 8, K), dims=names, coords=at) for a in arrays())


def test_dask_arrays():
    y, v = arrays()
    want = metaan.pool_many(y, v)
    for second in (da.from_array(v, chunks=(11, K)), v):
        lazy = metaan.pool_many(da.from_array(y, chunks=(15, K)), second)
        assert lazy.divisions == (0, 15, 30, N - 1)
        got = lazy.compute()
        assert list(lazy.dtypes) == list(got.dtypes)
        # dask makes pandas 2's columns of text its own kind of text
        pd.testing.assert_frame_equal(got.astype(want.dtypes), want, rtol=1e-12)
    bad = v.copy()
    bad[17, 0] = y[17, 0] = np.nan
    bad[17, 1], y[17, 1] = -1, 0
    lazy = metaan.pool_many(da.from_array(y, chunks=(15, K)), bad)
    with pytest.raises(DataError, match=r"begins at row 15, .*positive: 'row 2'"):
        lazy.compute()


@pytest.mark.parametrize(
    ("yi", "message"),
    [
        (da.ones((4, 6), chunks=(2, 3)), r"rechunk\(\{1: -1\}\)"),
        (da.ones((4, 5), chunks=(2, 5)), "Shapes differ"),
        (da.ones(4), "1 dimensions"),
        (da.ones((4, 6))[da.arange(4) > 1], "compute_chunk_sizes"),
        (da.ones((0, 6)), "no rows|Shapes"),
    ],
)
def test_dask_arrays_refused(yi, message):
    with pytest.raises(InputError, match=message):
        metaan.pool_many(yi, np.ones((4, 6)))


@pytest.mark.parametrize("chunks", [None, {"place": 2}, {"place": 3, "year": 4}])
@pytest.mark.parametrize("order", [("place", "year", "study"), ("study", "year", "place")])
def test_xarray(chunks, order):
    y, v = (a.transpose(*order) for a in labelled())
    want = metaan.pool_many(*arrays(), test="z")
    if chunks:
        y, v = y.chunk(chunks), v.chunk(chunks)
    for given in ({"yi": y, "vi": v}, {"yi": "a", "vi": "b", "data": xr.Dataset({"a": y, "b": v})}):
        got = metaan.pool_many(**given, test="z", dim="study")
        assert (got["tau2"].chunks is not None) == bool(chunks)
        assert set(got.dims) == {"place", "year"}
        assert list(got["place"].values) == list("abcde")
        for name in want.columns:
            values = got[name].transpose("place", "year").values.ravel()
            assert list(values) == list(want[name]) or np.allclose(values, want[name], rtol=1e-12, equal_nan=True), name


def test_xarray_one_set_other_models_and_broadcast():
    y, v = labelled()
    one = metaan.pool_many(y[0, 2], v[0, 2])
    assert one["estimate"].shape == ()
    assert float(one["estimate"]) == pytest.approx(metaan.pool_many(*arrays())["estimate"][2], rel=1e-12)
    whole = y.fillna(0.0)
    same = metaan.pool_many(whole, v[0, 2].fillna(1.0))
    assert set(same.dims) == {"place", "year"}
    events = xr.DataArray(np.arange(12).reshape(3, 4), dims=("a", "b")).chunk(a=2)
    got = metaan.pool_many(events=events, total=events + 9, model="glmm", pi="none").compute()
    want = metaan.pool_many(events=events.values, total=events.values + 9, model="glmm", pi="none")
    assert list(got["notes"].values) == list(want["notes"])
    assert np.allclose(got["loglik"], want["loglik"], rtol=1e-12)


Y, V = labelled()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"yi": Y.chunk(study=2)}, r"several chunks along 'study'.*\.chunk\(\{'study': -1\}\)"),
        ({"dim": "trial"}, "no dimension 'trial' of studies; it has 'place', 'year', 'study'"),
        ({"vi": V[..., 0]}, "vi has no dimension 'study'"),
        ({"vi": V.values}, "ndarray.*make it one too"),
        ({"by": "place"}, "no by="),
        ({"data": pd.DataFrame({"a": [1]})}, "no table"),
        ({"data": xr.Dataset({"a": Y}), "yi": "z"}, "yi must name a variable of data, not 'z'. It has 'a'"),
        ({"yi": Y.rename(year="k"), "vi": V.rename(year="k")}, "'k'.*rename"),
        ({"vi": V.assign_coords(place=list("vwxyz"))}, "do not fit"),
        ({"yi": Y.isel(study=slice(4))}, "do not fit"),
    ],
)
def test_xarray_refused(change, message):
    with pytest.raises(InputError, match=message):
        metaan.pool_many(**({"yi": Y, "vi": V} | change))


def test_bad_numbers_tell_the_block():
    v = V.copy()
    v[4, 1, :3] = [-1.0, np.nan, np.nan]
    y = Y.copy()
    y[4, 1, :3] = [0.5, np.nan, np.nan]
    with pytest.raises(DataError, match=r"In a block .*positive"):
        metaan.pool_many(y, v)
