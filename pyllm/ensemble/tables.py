"""Tables of named columns (pandas, Polars, Arrow) as matrices of numbers, categories as codes.

A table whose columns are all float64, or all float32, is looked at where it lies if its library
keeps it in one piece; otherwise columns are gathered into one Fortran-ordered array, each read
once. Categories get the codes 0, 1, ...: learned when fitting and kept by value, so a table whose
categories come in another order, or not all of them, means the same when predicting. A category
that was not there when fitting counts as missing, as null and NaN do.

None of the three libraries is imported here: a table brings its own.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Categorical = Literal["from_dtype"] | Sequence[int] | Sequence[str] | Sequence[bool] | None


@dataclass(frozen=True)
class Coded:
    """A column of categories: values[codes[i]], missing where the code is -1."""

    codes: NDArray[np.integer]
    values: list[Any]


def library_of(X: Any) -> str | None:
    """ "pandas", "polars" or "pyarrow" if X is a table of theirs, else None."""
    for name, kind in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")):
        module = sys.modules.get(name)
        if module is not None and isinstance(X, getattr(module, kind)):
            return name
    return None


@dataclass(frozen=True)
class Encoding:
    """How columns become numbers: categories[f] are the values of the codes of feature f."""

    categories: dict[int, list[Any]]

    @classmethod
    def learn(cls, X: Any, categorical: Categorical, names: Sequence[str] | None) -> "Encoding":
        """From the table or array to fit on; `categorical` as the estimators document it."""
        n_features = X.shape[1]
        wanted = _indices(categorical, n_features, names)
        library = library_of(X)
        if library is None and wanted is None:
            return cls({})
        categories = {}
        for f in range(n_features) if wanted is None else sorted(wanted):
            if library is None:
                categories[f] = _coded_array(X, f).values
            elif wanted is not None or _is_categorical(library, _column(library, X, f)):
                categories[f] = _coded(library, _column(library, X, f)).values
        return cls(categories)

    def encode(self, X: Any) -> Any:
        """X as an array of float32 or float64; matrices without categories as they are."""
        library = library_of(X)
        if library is None:
            return self._encode_array(X) if self.categories else X
        if not self.categories:
            whole = _in_one_piece(library, X)
            if whole is not None:
                return whole
        n, n_features = X.shape
        columns = [self._encode_column(library, X, f) for f in range(n_features)]
        small = all(column.dtype == np.float32 for column in columns)
        matrix = np.empty((n, n_features), np.float32 if small else np.float64, order="F")
        for f, column in enumerate(columns):
            matrix[:, f] = column
        return matrix

    def _encode_column(self, library: str, X: Any, f: int) -> NDArray[np.floating]:
        column = _column(library, X, f)
        if f in self.categories:
            return _recode(_coded(library, column), self.categories[f])
        return _numbers(library, column, f, X)

    def _encode_array(self, X: Any) -> Any:
        if hasattr(X, "indptr"):
            return self._encode_sparse(X)
        given = np.asarray(X)
        matrix = np.empty(given.shape, np.float64, order="F")
        for f in range(given.shape[1]):
            if f in self.categories:
                matrix[:, f] = _recode(_coded_array(given, f), self.categories[f])
            else:
                try:
                    matrix[:, f] = given[:, f]
                except (TypeError, ValueError) as e:
                    raise ValueError(f"X: column {f} holds no numbers: {e}") from None
        return matrix

    def _encode_sparse(self, X: Any) -> Any:
        """A CSR matrix; a category whose code is 0 is not stored."""
        entries = X.tocoo()
        numbers = ~np.isin(entries.col, list(self.categories))
        rows, columns = [entries.row[numbers]], [entries.col[numbers]]
        values = [entries.data[numbers].astype(np.float64)]
        for f, known in self.categories.items():
            codes = _recode(_coded_array(X, f), known)
            stored = np.flatnonzero(codes)
            rows.append(stored)
            columns.append(np.full(len(stored), f))
            values.append(codes[stored])
        place = (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array((np.concatenate(values), place), shape=X.shape)


def _recode(column: Coded, known: list[Any]) -> NDArray[np.floating]:
    """The codes of `known` for each row, NaN where the value is missing or not among them."""
    place = {value: code for code, value in enumerate(known)}
    table = np.array([place.get(value, np.nan) for value in column.values] + [np.nan])
    return table[column.codes]  # code -1 is the last entry


def _indices(
    categorical: Categorical, n_features: int, names: Sequence[str] | None
) -> set[int] | None:
    """The features that are categorical; None: those whose dtype says so."""
    if isinstance(categorical, str):
        if categorical != "from_dtype":
            raise ValueError(
                "categorical_features: expected 'from_dtype', features or None, "
                f"got {categorical!r}"
            )
        return None
    if categorical is None:
        return set()
    given = np.asarray(categorical)
    if given.dtype == bool:
        if given.shape != (n_features,):
            raise ValueError(f"categorical_features: expected a mask of {n_features} features")
        return set(np.flatnonzero(given).tolist())
    result = set()
    for feature in given.tolist():
        if isinstance(feature, str):
            if names is None or feature not in list(names):
                raise ValueError(f"categorical_features: X has no feature {feature!r}")
            result.add(list(names).index(feature))
        elif isinstance(feature, int) and 0 <= feature < n_features:
            result.add(feature)
        else:
            raise ValueError(
                f"categorical_features: expected names or 0 to {n_features - 1}, got {feature!r}"
            )
    return result


def _coded_array(X: Any, f: int) -> Coded:
    column = X[:, [f]].toarray()[:, 0] if hasattr(X, "indptr") else np.asarray(X)[:, f]
    if column.dtype == object:
        missing = np.array([value is None or value != value for value in column])
    else:
        missing = column != column  # NaN
    values, codes = np.unique(column[~missing], return_inverse=True)
    every = np.full(len(column), -1)
    every[~missing] = codes
    return Coded(every, values.tolist())


def _column(library: str, X: Any, f: int) -> Any:
    match library:
        case "pandas":
            return X.iloc[:, f]
        case "polars":
            return X.to_series(f)
        case _:
            return X.column(f)


def _is_categorical(library: str, column: Any) -> bool:
    match library:
        case "pandas":
            return isinstance(column.dtype, sys.modules["pandas"].CategoricalDtype)
        case "polars":
            polars = sys.modules["polars"]
            return column.dtype in (polars.Categorical, polars.Enum)
        case _:
            return sys.modules["pyarrow"].types.is_dictionary(column.type)


def _coded(library: str, column: Any) -> Coded:
    match library:
        case "pandas":
            pandas = sys.modules["pandas"]
            if not isinstance(column.dtype, pandas.CategoricalDtype):
                column = column.astype("category")
            return Coded(column.cat.codes.to_numpy(), column.cat.categories.tolist())
        case "polars":
            polars = sys.modules["polars"]
            if column.dtype == polars.Enum:
                values = column.dtype.categories.to_list()
            else:
                if column.dtype == polars.Categorical:
                    column = column.cast(polars.String)
                values = column.drop_nulls().unique().sort().to_list()
            place = {value: code for code, value in enumerate(values)}
            codes = column.replace_strict(
                list(place), list(place.values()), default=-1, return_dtype=polars.Int64
            )
            return Coded(codes.fill_null(-1).to_numpy(), values)
        case _:
            pyarrow = sys.modules["pyarrow"]
            if not pyarrow.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            if column.num_chunks == 0:
                return Coded(np.zeros(0, np.int64), [])
            column = column.unify_dictionaries()
            codes = np.concatenate(
                [
                    chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
                    for chunk in column.chunks
                ]
            )
            return Coded(codes.astype(np.int64), column.chunk(0).dictionary.to_pylist())


def _numbers(library: str, column: Any, f: int, X: Any) -> NDArray[np.floating]:
    """A column of numbers as float32 or float64, NaN where it is null."""
    name = _names(library, X)[f]
    try:
        if library == "pandas":
            array = column.to_numpy()
            if array.dtype == object:
                array = column.to_numpy(dtype=np.float64, na_value=np.nan)
        elif library == "polars":
            array = column.to_numpy()
        else:
            array = column.to_numpy()
        if array.dtype.kind not in "biuf":
            if array.dtype.kind != "O":
                raise TypeError(f"dtype {array.dtype}")
            array = array.astype(np.float64)
    except (TypeError, ValueError) as e:
        raise ValueError(
            f"X: column {name!r} holds no numbers ({e}); make it a category, or name it in "
            "categorical_features"
        ) from None
    small = array.dtype == np.float32 or (array.dtype.kind in "biu" and array.dtype.itemsize <= 2)
    return array.astype(np.float32 if small else np.float64, copy=False)


def _names(library: str, X: Any) -> list[Any]:
    return list(X.column_names if library == "pyarrow" else X.columns)


def _in_one_piece(library: str, X: Any) -> NDArray[np.floating] | None:
    """All columns at once, where they are of one float dtype."""
    if library == "pyarrow" or X.shape[1] == 0:
        return None
    dtypes: Iterable[Any] = X.dtypes
    kinds = {str(dtype).lower() for dtype in dtypes}
    if kinds not in ({"float64"}, {"float32"}):
        return None
    array = X.to_numpy()
    return array if array.dtype in (np.float32, np.float64) else None
