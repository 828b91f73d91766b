"""pool_many on dask, Parquet and xarray equals pool_many in memory."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError, OptionError

dask = pytest.importorskip("dask")
pytest.importorskip("pyarrow")
dd = pytest.importorskip("dask.dataframe")

from metaan.analysis import batch_parquet  # noqa: E402
from metaan.analysis.batch_parquet import RowGroup, ranges, runs  # noqa: E402

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


def long(shuffled=False):
    y, v = arrays()
    g = np.repeat(np.arange(N), K)
    table = pd.DataFrame({"g": g, "name": [f"set {i:02}" for i in g], "half": np.where(g % 2, "odd", "even")})
    table = table.assign(y=y.ravel(), v=v.ravel(), unused=1.0).dropna()
    return table.sample(frac=1, random_state=1) if shuffled else table


def same(lazy, by, model=None, **options):
    """A dask table, computed, has the rows of the result in memory, and the types it promised."""
    assert isinstance(lazy, dd.DataFrame)
    got = lazy.compute()
    assert list(got.dtypes) == list(lazy.dtypes)
    want = metaan.pool_many("y", "v", data=long(), by=by, **options)
    by = [by] if isinstance(by, str) else by
    got, want = (t.sort_values(by).reset_index(drop=True) for t in (got, want))
    pd.testing.assert_frame_equal(got, want.astype(got.dtypes[by].to_dict()), rtol=1e-12)


def shuffles(lazy):
    return sum(type(expr).__module__.endswith("._shuffle") for expr in lazy.expr.walk())


@pytest.mark.parametrize("by", ["g", ["half", "g"], ["half", "name"]])
@pytest.mark.parametrize("shuffled", [False, True])
def test_dask_tables_are_shuffled(by, shuffled):
    """The rows of a set lie in several partitions."""
    lazy = metaan.pool_many("y", "v", data=dd.from_pandas(long(shuffled), npartitions=7, sort=False), by=by, test="z")
    assert shuffles(lazy) == 1
    same(lazy, by, test="z")


@pytest.mark.parametrize("by", ["g", ["g", "half"]])
def test_known_divisions_and_shuffles_are_used(by):
    indexed = dd.from_pandas(long().set_index("g"), npartitions=5)
    shuffled = dd.from_pandas(long(True), npartitions=5, sort=False).shuffle("g")
    a, b = (metaan.pool_many("y", "v", data=data, by=by) for data in (indexed, shuffled))
    assert shuffles(a) == 0
    assert shuffles(b) == 1
    same(a, by)
    same(b, by)
    third = a.partitions[2].compute()
    assert (third["g"] >= indexed.divisions[2]).all()


def test_other_index_or_shuffle_is_no_proof():
    unknown = dd.from_pandas(long().set_index("g"), npartitions=5).clear_divisions()
    other = dd.from_pandas(long(True), npartitions=5, sort=False).shuffle("half")
    for data in (unknown, other):
        lazy = metaan.pool_many("y", "v", data=data, by="g")
        assert shuffles(lazy) == shuffles(data) + 1
        same(lazy, "g")


def test_divisions_that_are_not_true(tmp_path):
    """Dask's divisions from Parquet statistics overlook that a set goes on in the next file."""
    table = long()
    cut = int(np.flatnonzero(table["g"].to_numpy() == 20)[0]) + 1
    table[:cut].to_parquet(tmp_path / "0.parquet", index=False)
    table[cut:].to_parquet(tmp_path / "1.parquet", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask calls pandas in a way that is going out
        data = dd.read_parquet(tmp_path, index="g", calculate_divisions=True)
    assert data.known_divisions
    with pytest.raises(InputError, match=r"divisions of data are wrong.*reset_index"):
        metaan.pool_many("y", "v", data=data, by="g").compute()
    same(metaan.pool_many("y", "v", data=tmp_path, by="g"), "g")


def test_labels_of_several_types_meet():
    """1 and 1.0 hash differently."""
    table = long(True)
    parts = [table[:70], table[70:].astype({"g": "float32"})]
    data = dd.from_map(lambda part: part, parts, meta=table.iloc[:0])
    same(metaan.pool_many("y", "v", data=data, by="g"), "g")


@pytest.mark.parametrize("kind", ["category", object])
def test_labels_that_are_categories_or_objects(kind):
    """Each partition with categories of its own; integers and floats as objects."""
    table = long(True)
    parts = [part.assign(name=part["name"].astype(kind)) for part in (table[:70], table[70:])]
    data = dd.from_map(lambda part: part, parts, meta=parts[0].iloc[:0])
    got = metaan.pool_many("y", "v", data=data, by="name").compute().astype({"name": str})
    want = metaan.pool_many("y", "v", data=long(), by="name")
    pd.testing.assert_frame_equal(got.sort_values("name").reset_index(drop=True), want, rtol=1e-12)
    if kind is object:
        parts = [table[:70].astype({"g": object}), table[70:].astype({"g": float}).astype({"g": object})]
        with dask.config.set({"dataframe.convert-string": False}):
            data = dd.from_map(lambda part: part, parts, meta=parts[0].iloc[:0])
            with pytest.raises(InputError, match="objects of any type"):
                metaan.pool_many("y", "v", data=data, by="g").compute()


def test_empty_partitions_and_other_models():
    counts = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "x": np.arange(24) % 7, "n": 20 + np.arange(24)})
    data = dd.from_map(lambda part: part, [counts[:0], counts[:10], counts[10:]], meta=counts.iloc[:0])
    lazy = metaan.pool_many(data=data, by="g", events="x", total="n", model="glmm", pi="none")
    want = metaan.pool_many(data=counts, by="g", events="x", total="n", model="glmm", pi="none")
    pd.testing.assert_frame_equal(lazy.compute().sort_values("g").reset_index(drop=True), want, rtol=1e-9)


def test_lazy_until_computed():
    table = long()
    table.loc[table["g"] == 7, "v"] = -1.0
    lazy = metaan.pool_many("y", "v", data=dd.from_pandas(table, npartitions=3), by="name")
    with pytest.raises(DataError, match="positive: 'set 07'"):
        lazy.compute()


@pytest.mark.parametrize("by", ["g", "name", ["half", "g"]])
@pytest.mark.parametrize("shuffled", [False, True])
def test_parquet(tmp_path, monkeypatch, by, shuffled):
    """Sets that go on in the next row group or file are whole: by ranges where the rows are sorted, else shuffled."""
    monkeypatch.setattr(batch_parquet, "_ROWS", 40)
    table = long(shuffled)
    table[:50].to_parquet(tmp_path / "a.parquet", row_group_size=13)
    table[50:].to_parquet(tmp_path / "b.parquet", row_group_size=13)
    lazy = metaan.pool_many("y", "v", data=str(tmp_path), by=by)
    assert lazy.npartitions > 2
    assert shuffles(lazy) == shuffled
    same(lazy, by)
    table.to_parquet(tmp_path / "b.parquet")
    same(metaan.pool_many("y", "v", data=tmp_path / "b.parquet", by=by), by)


def test_files_with_labels_of_two_types(tmp_path):
    """Bounds of integers and of texts cannot be compared: the table is shuffled, its labels as in the first file."""
    long()[:60].to_parquet(tmp_path / "a.parquet")
    long()[60:].astype({"g": str}).to_parquet(tmp_path / "b.parquet")
    same(metaan.pool_many("y", "v", data=tmp_path, by="g"), "g")


def test_folders_named_by_a_label(tmp_path):
    for half, part in long().groupby("half"):
        (tmp_path / f"half={half}").mkdir()
        part.drop(columns="half").to_parquet(tmp_path / f"half={half}" / "part.parquet")
    lazy = metaan.pool_many("y", "v", data=tmp_path, by=["half", "name"])
    got = lazy.compute().astype({"half": str, "name": str}).sort_values(["half", "name"]).reset_index(drop=True)
    want = metaan.pool_many("y", "v", data=long(), by=["half", "name"]).sort_values(["half", "name"])
    pd.testing.assert_frame_equal(got, want.reset_index(drop=True), rtol=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_ranges_hold_each_value_once(monkeypatch, seed):
    """Each row lies in one part, and all rows of a value in the same."""
    monkeypatch.setattr(batch_parquet, "_ROWS", 20)
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 60, rng.integers(1, 300))
    if seed % 3:
        values.sort()
    pieces = np.split(values, np.unique(rng.integers(0, values.size, 12)))
    groups = [RowGroup(str(i), 0, p.size, p.min(), p.max()) for i, p in enumerate(pieces) if p.size]
    parts = ranges(groups, "g")
    assert seed % 3 == 0 or parts is not None or max(g.rows for g in groups) > 20
    owners = {}
    for number, part in enumerate(parts or runs(groups)):
        for group in part.groups:
            kept = pieces[int(group.file)]
            kept = kept if part.low is None else kept[kept >= part.low]
            kept = kept if part.high is None else kept[kept < part.high]
            for value in kept.tolist():
                owners.setdefault(value, []).append(number)
    assert sorted(np.concatenate([[v] * len(o) for v, o in owners.items()])) == sorted(values)
    assert parts is None or all(len(set(o)) == 1 for o in owners.values())


DASK = dd.from_pandas(long(), npartitions=3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"by": "h"}, InputError, "by='h' is no column"),
        ({"by": None}, InputError, "needs by="),
        ({"data": DASK.rename(columns={"g": "k"}), "by": "k"}, InputError, "name of a result: 'k'"),
        ({"yi": "z"}, InputError, "Columns: g, name"),
        ({"yi": DASK["y"]}, InputError, "name of a column"),
        ({"method": "remll"}, OptionError, "REML"),
        ({"level": 95}, OptionError, "0.95"),
        ({"vi": None}, OptionError, "needs yi=, vi="),
        ({"dim": "s"}, InputError, "xarray"),
        ({"output": "arrays"}, OptionError, "in memory"),
        ({"progress": True}, OptionError, "ProgressBar"),
        ({"data": "nowhere.parquet"}, InputError, "does not exist"),
    ],
)
def test_refused_at_once(change, error, message):
    with pytest.raises(error, match=message):
        metaan.pool_many(**({"yi": "y", "vi": "v", "data": DASK, "by": "g"} | change))


def test_path_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(OptionError, match=r"metaan\[distributed\]"):
        metaan.pool_many("y", "v", data="a.parquet", by="g")


def test_folders_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no Parquet files"):
        metaan.pool_many("y", "v", data=tmp_path, by="g")
    (tmp_path / "a.parquet").write_text("g,y,v")
    with pytest.raises(InputError, match="is no Parquet file"):
        metaan.pool_many("y", "v", data=tmp_path, by="g")
    long()[:0].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no rows"):
        metaan.pool_many("y", "v", data=tmp_path, by="g")
    long()[:20].to_parquet(tmp_path / "a.parquet")
    long()[20:].drop(columns="y").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet cannot be read like the first"):
        metaan.pool_many("y", "v", data=tmp_path, by="g").compute()


@pytest.mark.slow
def test_workers_of_a_cluster(tmp_path):
    """Two processes; results are written by them."""
    distributed = pytest.importorskip("distributed")
    long(True).to_parquet(tmp_path / "studies.parquet", row_group_size=30)
    size = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**size) as cluster, distributed.Client(cluster):
        lazy = metaan.pool_many("y", "v", data=dd.from_pandas(long(True), npartitions=4, sort=False), by="name")
        lazy.to_parquet(tmp_path / "results")
    got = pd.read_parquet(tmp_path / "results").sort_values("name").reset_index(drop=True)
    want = metaan.pool_many("y", "v", data=long(), by="name")
    pd.testing.assert_frame_equal(got, want, check_dtype=False, rtol=1e-12)
