"""How arrays, series and frames of numpy, pandas and polars become keys.

Equal data give equal keys, however they lie in memory: column by column or row by row, in one piece or many, with an
index that is kept as a range or spelled out. A type that is not known here is taken apart as pickle would.
"""

from __future__ import annotations

import sys
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.caching import Walk


def put_array(walk: Walk, value: Any) -> None:
    """Write out a value of one of these libraries."""
    for library, put in (("pandas", _put_pandas), ("polars", _put_polars), ("numpy", _put_numpy)):
        module = sys.modules.get(library)
        if module is not None and put(walk, value, module):
            return
    walk.reduced(value)


def _put_numpy(walk: Walk, value: Any, numpy: Any) -> bool:
    if isinstance(value, numpy.ma.MaskedArray) and not value.dtype.names:
        mask = numpy.ma.getmaskarray(value)
        walk.tag("masked")
        walk.put(mask)
        walk.put(numpy.where(mask, numpy.zeros((), value.dtype), numpy.ma.getdata(value)))
        return True
    if isinstance(value, numpy.ndarray) and not isinstance(value, numpy.ma.MaskedArray):
        dtype = value.dtype.newbyteorder("=")  # pickles do not keep another order of bytes
        walk.tag(f"array {type(value).__module__}.{type(value).__qualname__} {dtype!r} {value.shape}")
        value = numpy.asarray(value, dtype)
        if dtype.hasobject or dtype.names:
            walk.put(value.tolist())
            return True
        if dtype.kind in "fc" and (nothing := numpy.isnan(value)).any():
            value = numpy.where(nothing, dtype.type("nan"), value)  # there are many NaNs, and they are all equal
        flat = numpy.ascontiguousarray(value).reshape(-1)
        _put_bytes(walk, memoryview(flat.view("u1") if flat.nbytes else b""))
        return True
    if isinstance(value, numpy.generic) and value.dtype.kind not in "OV":
        walk.tag(f"scalar {value.dtype!r}")
        walk.put(value.tobytes())
        return True
    return False


def _put_pandas(walk: Walk, value: Any, pandas: Any) -> bool:
    if isinstance(value, pandas.DataFrame):
        walk.tag(f"frame {type(value).__module__}.{type(value).__qualname__} {value.shape}")
        walk.put(value.columns)
        walk.put(value.index)
        for place in range(value.shape[1]):
            _put_column(walk, value.iloc[:, place].array, pandas)
        return True
    if isinstance(value, pandas.MultiIndex):
        walk.tag("index", count=value.nlevels)
        for level in range(value.nlevels):
            walk.put(value.get_level_values(level))
        return True
    if isinstance(value, (pandas.Series, pandas.Index)):
        walk.tag("series" if isinstance(value, pandas.Series) else "index")
        walk.put(value.name)
        if isinstance(value, pandas.Series):
            walk.put(value.index)
        _put_column(walk, value.array, pandas)
        return True
    return False


def _put_column(walk: Walk, column: Any, pandas: Any) -> None:
    """Write out a column: by its bytes if it has some, else value by value."""
    dtype = column.dtype
    walk.tag(f"column {dtype}", count=len(column))
    if isinstance(dtype, pandas.CategoricalDtype):
        walk.put((dtype.categories, bool(dtype.ordered)))
        walk.put(column.codes)
    elif isinstance(column, pandas.arrays.NumpyExtensionArray):
        walk.put(column.to_numpy())
    elif hasattr(column, "asi8"):  # points and spans of time; unit and zone are in the type's name
        walk.put(column.asi8)
    elif isinstance(column, (pandas.arrays.IntegerArray, pandas.arrays.FloatingArray, pandas.arrays.BooleanArray)):
        walk.put(column.isna())
        walk.put(column.to_numpy(dtype=dtype.numpy_dtype, na_value=0))
    else:
        walk.put(column.astype(object).tolist())


def _put_polars(walk: Walk, value: Any, polars: Any) -> bool:
    if isinstance(value, polars.DataFrame):
        walk.tag(f"frame {value.shape}")
        for column in value.iter_columns():
            _put_series(walk, column, polars)
        return True
    if isinstance(value, polars.Series):
        _put_series(walk, value, polars)
        return True
    return False


def _put_series(walk: Walk, series: Any, polars: Any) -> None:
    """Write out a series: where it is null, and the rest as bytes if it has a form in bytes, else value by value.

    The bytes are made without numpy, which may be there in one process and not in another.
    """
    dtype = series.dtype
    walk.tag(f"series {dtype}", count=len(series))
    walk.put(series.name)
    if dtype.is_temporal():
        series = series.to_physical()
        dtype = series.dtype
    code = "q" if dtype.is_signed_integer() else "Q" if dtype.is_unsigned_integer() else "d" if dtype.is_float() else ""
    if dtype == polars.Int128 or not (code or dtype in (polars.Boolean, polars.String)):
        walk.put(series.to_list())
        return
    walk.put(series.null_count())
    if series.null_count():
        _put_bytes(walk, memoryview(bytes(series.is_null().to_list())))
        series = series.drop_nulls()
    if dtype == polars.String:
        _put_bytes(walk, memoryview(array("Q", series.str.len_bytes().to_list())))
        _put_bytes(walk, memoryview((series.str.join("").item() if len(series) else "").encode()))
    elif dtype == polars.Boolean:
        _put_bytes(walk, memoryview(bytes(series.to_list())))
    else:
        _put_bytes(walk, memoryview(array(code, series.to_list())))


def _put_bytes(walk: Walk, data: memoryview) -> None:
    """Write out much data as little."""
    walk.put(blake2b(data, digest_size=20).digest() if data.nbytes > 64 else data.tobytes())
