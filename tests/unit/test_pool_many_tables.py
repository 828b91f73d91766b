"""pool_many on tables of several libraries, on ragged groups, and what it gives back."""

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.analysis import batch
from metaan.analysis.data_sets import read
from metaan.errors import DataError, InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")


def long_table(seed=1):
    """Twelve groups of two labels, of one to nine rows, in random order."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 10, 12)
    m = int(size.sum())
    table = pd.DataFrame({
        "region": np.repeat([f"r{i // 3}" for i in range(12)], size),
        "year": np.repeat(np.arange(12) % 3 + 2001, size),
        "y": rng.normal(size=m),
        "v": rng.uniform(0.1, 1, m),
    })  # fmt: skip
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def one_by_one(table, **options):
    rows = []
    for _, group in table.groupby(["region", "year"], sort=False):
        rows.append(metaan.pool(metaan.effects(group.y, group.v), **options).estimate)
    return rows


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_of_each_library_come_back_as_they_went_in(library):
    table = long_table()
    given = table
    if library == "polars":
        given = pytest.importorskip("polars").from_pandas(table)
    elif library == "pyarrow":
        given = pytest.importorskip("pyarrow").Table.from_pandas(table, preserve_index=False)
    result = metaan.pool_many("y", "v", data=given, by=["region", "year"])
    assert type(result) is type(given)
    frame = result if library == "pandas" else result.to_pandas()
    first = table.drop_duplicates(["region", "year"])
    assert list(frame["region"]) == list(first["region"])
    assert list(frame["year"]) == list(first["year"])
    np.testing.assert_allclose(frame["estimate"], one_by_one(table), rtol=1e-12)


def test_missing_values_name_their_rows_in_each_library():
    table = long_table()
    table.loc[4, "y"] = np.nan
    with pytest.raises(DataError, match="row '4' of data"):
        metaan.pool_many("y", "v", data=table, by="region")
    given = pytest.importorskip("polars").from_pandas(
        long_table().assign(region=lambda d: d.region.where(d.index != 7))
    )
    with pytest.raises(DataError, match="row '7' of data"):
        metaan.pool_many("y", "v", data=given, by="region")


@pytest.mark.parametrize("data", [[1, 2], {"g": [1]}, "no such file"])
def test_other_data_are_refused(data):
    with pytest.raises(InputError):
        metaan.pool_many("y", "v", data=data, by="g")


def test_errors_name_groups():
    table = long_table().assign(v=lambda d: d.v.where((d.region != "r1") | (d.year != 2002), -1.0))
    with pytest.raises(DataError, match="positive: 'r1, 2002'"):
        metaan.pool_many("y", "v", data=table, by=["region", "year"])


def test_arrays_hold_what_the_table_holds():
    table = long_table()
    frame = metaan.pool_many("y", "v", data=table, by=["region", "year"])
    arrays = metaan.pool_many("y", "v", data=table, by=["region", "year"], output="arrays")
    assert list(arrays) == list(frame)
    for name, column in arrays.items():
        assert isinstance(column, np.ndarray)
        np.testing.assert_array_equal(column, frame[name].to_numpy())
    with pytest.raises(OptionError, match="frame, arrays"):
        metaan.pool_many(np.ones((1, 2)), np.ones((1, 2)), output="array")


def test_one_large_group_among_many_small_ones_takes_no_more_room_than_its_rows():
    size = np.r_[np.full(2000, 3), 50_000]
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"g": np.repeat(np.arange(2001), size), "y": rng.normal(size=size.sum()), "v": 1.0})
    sets = read({"yi": "y", "vi": "v"}, table, "g", counts=False)
    pieces = list(sets.pieces(batch._CHUNK))
    assert max(next(iter(sets.take(piece)[0].values())).size for piece in pieces) <= batch._CHUNK
    assert sorted(np.concatenate(pieces).tolist()) == list(range(2001))
    result = metaan.pool_many("y", "v", data=table, by="g", method="DL")
    big = metaan.pool(metaan.effects(table.y[-50_000:], table.v[-50_000:]), method="DL")
    assert result["estimate"].iloc[-1] == pytest.approx(big.estimate, rel=1e-10)


def test_results_do_not_depend_on_the_pieces(monkeypatch):
    rng = np.random.default_rng(6)
    y, v = rng.normal(size=(40, 7)), rng.uniform(0.1, 1, (40, 7))
    y[rng.random(y.shape) < 0.3] = np.nan
    v[np.isnan(y)] = np.nan
    whole = metaan.pool_many(y, v)
    monkeypatch.setattr(batch, "_CHUNK", 20)
    pd.testing.assert_frame_equal(metaan.pool_many(y, v), whole, rtol=1e-12)


def test_progress_counts_meta_analyses(capsys):
    rng = np.random.default_rng(6)
    metaan.pool_many(rng.normal(size=(40, 7)), np.ones((40, 7)), progress=True)
    assert "40/40" in capsys.readouterr().err
