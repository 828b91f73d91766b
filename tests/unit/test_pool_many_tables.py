"""pool_many on tables of several libraries, on ragged groups, and what it gives back."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.analysis import batch, data_frames, data_sets
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
    assert max(piece.arrays["yi"].size for piece in pieces) <= batch._CHUNK
    assert sorted(np.concatenate([piece.sets for piece in pieces]).tolist()) == list(range(2001))
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


@pytest.mark.parametrize("counts", [False, True])
def test_blocks_of_rows_give_what_the_whole_gives(monkeypatch, counts):
    rng = np.random.default_rng(7)
    first = rng.integers(0, 9, (50, 6)).astype(float)
    second = np.full(first.shape, 9.0)
    second[rng.random(first.shape) < 0.4] = np.nan
    second[[3, 20]] = np.nan
    first[np.isnan(second)] = np.nan
    given = {"events": first, "total": second, "model": "glmm"} if counts else {"yi": first, "vi": second}
    whole = metaan.pool_many(**given)
    for name, value in (("_CHECKED", 12), ("_BLOCK", 30)):
        monkeypatch.setattr(data_sets, name, value)
    monkeypatch.setattr(batch, "_CHUNK", 20)
    pd.testing.assert_frame_equal(metaan.pool_many(**given), whole, rtol=1e-10)
    second[[1, 49], 0], first[[1, 49], 0] = -1.0, 0.0
    with pytest.raises(DataError, match="'row 1', 'row 49'"):
        metaan.pool_many(**given)


@pytest.mark.parametrize("layout", ["C", "F"])
def test_arrays_are_not_copied_as_a_whole(monkeypatch, layout):
    rng = np.random.default_rng(8)
    y, v = rng.normal(size=(20_000, 13)), rng.uniform(0.1, 1, (20_000, 13))
    y[rng.random(y.shape) < 0.2] = np.nan
    y, v = np.array(y, order=layout), np.array(np.where(np.isnan(y), np.nan, v), order=layout)
    for module, name in ((data_sets, "_CHECKED"), (data_sets, "_BLOCK"), (batch, "_CHUNK")):
        monkeypatch.setattr(module, name, 5000)
    tracemalloc.start()
    result = metaan.pool_many(y, v, method="DL", test="z", output="arrays")
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(column.nbytes for column in result.values()) <= held
    assert peak - held < y.nbytes / 2


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize(
    "by", ["text", "number", "real", "when", "kind", ["text", "number"], ["small", "number", "kind"]]
)
def test_groups_by_labels_of_every_type(library, by):
    rng = np.random.default_rng(9)
    number = rng.integers(-3, 4, 200)
    table = pd.DataFrame({
        "text": [f"t{i}" for i in number], "number": number * 10**9, "real": number / 4, "small": number.astype("int8"),
        "when": pd.to_datetime("2020-01-01") + pd.to_timedelta(number, unit="D"),
        "kind": pd.Categorical(rng.choice(["b", "a", "c"], 200), categories=["c", "b", "a"]),
        "y": rng.normal(size=200), "v": rng.uniform(0.1, 1, 200),
    })  # fmt: skip
    given = table
    if library == "polars":
        given = pytest.importorskip("polars").from_pandas(table)
    elif library == "pyarrow":
        pa = pytest.importorskip("pyarrow")
        given = pa.concat_tables(
            [pa.Table.from_pandas(part, preserve_index=False) for part in (table[:90], table[90:])]
        )
    result = metaan.pool_many("y", "v", data=given, by=by, method="CE")
    frame = result if library == "pandas" else result.to_pandas()
    expected = (
        table.assign(w=1 / table.v, yw=table.y / table.v).groupby(by, sort=False, observed=True)[["yw", "w"]].sum()
    )
    np.testing.assert_allclose(frame["estimate"], expected.yw / expected.w, rtol=1e-12)
    labels = [by] if isinstance(by, str) else by
    assert (
        frame[labels].astype(str).to_numpy().tolist() == table[labels].drop_duplicates().astype(str).to_numpy().tolist()
    )


def test_many_numbered_groups_in_any_order_are_sorted_by_both_halves_of_their_numbers():
    code = np.random.default_rng(10).permutation(np.repeat(np.arange(70_000), 2))
    order = data_frames._order(code)
    np.testing.assert_array_equal(order, np.argsort(code, kind="stable"))


def test_labels_with_the_name_of_a_result_are_refused():
    table = long_table().rename(columns={"year": "k"})
    with pytest.raises(InputError, match="name of a result: 'k'"):
        metaan.pool_many("y", "v", data=table, by=["region", "k"])
    twice = pd.DataFrame([[1, 0.1, 0.2, 3.0]], columns=["g", "y", "v", "g"])
    with pytest.raises(InputError, match="several columns of one name"):
        metaan.pool_many("y", "v", data=twice, by="g")


def test_numbers_beyond_the_squares_of_double_precision_are_refused():
    with pytest.raises(DataError, match=r"rescale.*'row 1'"):
        metaan.pool_many([[1, 2], [1e200, 1]], [[1, 1], [1, 1]])


def test_masked_studies_are_absent():
    y, v = np.array([[0.1, 0.4, 9.0]]), np.array([[0.1, 0.2, 0.1]])
    hidden = [[False, False, True]]
    result = metaan.pool_many(np.ma.array(y, mask=hidden), np.ma.array(v, mask=hidden))
    pd.testing.assert_frame_equal(result, metaan.pool_many(y[:, :2], v[:, :2]))
