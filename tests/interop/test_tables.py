"""Tables of pandas, Polars and Arrow give the same model as the array of their columns."""

import numpy as np
import pytest

from pyllm.ensemble import GradientBoostingRegressor, RandomForestClassifier
from pyllm.ensemble.tables import Encoding

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

N = 300
COLOURS = ["blue", "green", "red"]


def columns(rng, n=N):
    colour = rng.choice([*COLOURS, None], n)
    size = rng.normal(size=n)
    size[::7] = np.nan
    return {"size": size, "colour": colour.tolist(), "count": rng.integers(0, 9, n).astype(np.int8)}


def as_pandas(data, categories=COLOURS):
    return pandas.DataFrame({**data, "colour": pandas.Categorical(data["colour"], categories)})


def as_polars(data, dtype=None):
    dtype = dtype or polars.Categorical
    return polars.DataFrame({**data, "colour": polars.Series(data["colour"], dtype=dtype)})


def as_enum(data):
    return as_polars(data, polars.Enum(COLOURS))


def as_arrow(data):
    colour = pyarrow.array(data["colour"]).dictionary_encode()
    return pyarrow.table({**data, "colour": colour})


def as_chunks(data):
    table = as_arrow(data)
    return pyarrow.concat_tables([table.slice(200), table.slice(0, 0), table.slice(0, 200)]).take(
        np.r_[N - 200 : N, 0 : N - 200]
    )


KINDS = [as_pandas, as_polars, as_enum, as_arrow, as_chunks]


@pytest.mark.parametrize("fitted", KINDS)
@pytest.mark.parametrize("asked", [as_pandas, as_polars, as_arrow])
def test_every_kind_of_table_means_the_same(fitted, asked, rng):
    data = columns(rng)
    encoding = Encoding.learn(fitted(data), "from_dtype", None)
    got = encoding.encode(asked(data))
    place = {name: i for i, name in enumerate(encoding.categories[1])}
    codes = [place.get(value, np.nan) for value in data["colour"]]
    np.testing.assert_array_equal(got[:, 1], codes)
    np.testing.assert_array_equal(got[:, [0, 2]], np.c_[data["size"], data["count"]])


@pytest.mark.parametrize("table", KINDS)
def test_models_know_categories_by_value(table, rng):
    data = columns(rng)
    y = np.array([{"red": 1.0, "blue": -1.0}.get(c, 0.0) for c in data["colour"]])
    model = GradientBoostingRegressor(n_estimators=30, random_state=0).fit(table(data), y)
    assert model.feature_names_in_.tolist() == ["size", "colour", "count"]
    assert model.score(table(data), y) > 0.9
    other = as_pandas(data, ["yellow", "red", "blue", "green"])
    np.testing.assert_array_equal(model.predict(other), model.predict(table(data)))
    odd = as_pandas({**data, "colour": ["yellow"] * N}, ["yellow"])
    gone = as_pandas({**data, "colour": [None] * N})
    np.testing.assert_array_equal(model.predict(odd), model.predict(gone))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_columns_are_looked_at_where_they_lie(dtype, rng):
    X = rng.normal(size=(50, 4)).astype(dtype)
    table = pandas.DataFrame(X)
    assert np.shares_memory(Encoding({}).encode(table), table.to_numpy())
    frame = polars.DataFrame(np.asfortranarray(X), schema=list("abcd"))
    np.testing.assert_array_equal(Encoding({}).encode(frame), X)
    assert Encoding({}).encode(frame).dtype == dtype


def test_columns_that_hold_no_numbers_are_named():
    for table in (
        pandas.DataFrame({"when": pandas.to_datetime(["2020-01-01"])}),
        pandas.DataFrame({"name": ["a"]}),
        polars.DataFrame({"name": ["a"]}),
        pyarrow.table({"name": ["a"]}),
    ):
        with pytest.raises(ValueError, match=r"column '(when|name)' holds no numbers"):
            Encoding.learn(table, "from_dtype", None).encode(table)


def test_named_columns_become_categories():
    table = polars.DataFrame({"name": ["a", "b", None], "n": [1, 2, 3]})
    encoding = Encoding.learn(table, ["name"], ["name", "n"])
    np.testing.assert_array_equal(encoding.encode(table), [[0, 1], [1, 2], [np.nan, 3]])


def test_nullable_numbers():
    table = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64"), "b": [True, False]})
    np.testing.assert_array_equal(Encoding({}).encode(table), [[1, 1], [np.nan, 0]])


def test_names_are_checked_when_predicting(rng):
    table = pandas.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    model = RandomForestClassifier(n_estimators=3).fit(table, table["a"] > 0)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["b", "a"]])
