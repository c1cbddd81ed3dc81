"""How inputs become keys: equal values give equal keys, in every process and on every machine.

A value is written out as bytes from which it could be told apart from any other, and the bytes are hashed. Nothing in
them depends on addresses, on the order of sets and dictionaries, or on PYTHONHASHSEED; `1`, `1.0` and `True`, or a list
and a tuple, give different keys, because code may treat them differently.

    key_of({"b": 1, "a": {2, 3}}) == key_of({"a": {3, 2}, "b": 1})

What pickle could take apart is taken apart in the same way, and its parts are written out; what it could not (locks,
connections, generators, open files) is `Uncacheable`. No part of a value is called or changed.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import struct
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

from towpath.definitions import Definition

_FORMAT: Final = b"towpath-1"  # change it with the bytes that stand for a value: old keys must not mean new values
_DIGEST_BYTES: Final = 20
_ARRAYS: Final = frozenset({"numpy", "pandas", "polars"})


class Uncacheable(TypeError):
    """No key can be made of a value: two equal ones could not be recognised."""


def key_of(*values: Any) -> str:
    """Give the key of some values: 40 hexadecimal digits.

    Raises:
        Uncacheable: a value, or something in it, has no form that another process would recognise.
    """
    walk = Walk()
    try:
        for value in values:
            walk.put(value)
    except RecursionError:
        raise Uncacheable("it is nested too deeply") from None
    return blake2b(_FORMAT + b"".join(walk.out), digest_size=_DIGEST_BYTES).hexdigest()


def identity_of(fn: Callable[..., Any]) -> str:
    """Name a function by its file and its place in it, which are the same whether the file is run or imported."""
    code = getattr(fn, "__code__", None) or getattr(getattr(type(fn), "__call__", None), "__code__", None)  # noqa: B004
    file = code.co_filename.replace("\\", "/").rpartition("/")[2].partition(".")[0] if code else type(fn).__module__
    name = getattr(fn, "__qualname__", type(fn).__qualname__)
    return f"{file}:{name}:{key_of(code)}" if name.endswith("<lambda>") else f"{file}:{name}"


class Walk:
    """Writes values out. Each piece of bytes says where it ends, so no two different values give the same bytes."""

    __slots__ = ("_above", "out")

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self._above: dict[int, int] = {}  # from the id of a value that is being written out to how deep it is

    def put(self, value: Any) -> None:
        """Write a value out."""
        writer = _PLAIN.get(type(value))
        if writer is not None:
            self.out.append(writer(value))
        else:
            self._within(value)

    def tag(self, name: str, *, count: int | None = None) -> None:
        """Write out what kind of value follows, and of how many parts it is if that is not a matter of course."""
        self.out.append(f"{name}:{'' if count is None else count}[".encode(errors="surrogatepass"))

    def unordered(self, values: Iterable[Any]) -> None:
        """Write out values whose order means nothing."""
        pieces = sorted(self._apart((value,)) for value in values)
        self.out.extend(pieces)

    def mapping(self, items: Iterable[tuple[Any, Any]]) -> None:
        """Write out pairs whose order means nothing."""
        self.out.extend(sorted(map(self._pair, items)))

    def named(self, type_: type, fields: Mapping[str, Any]) -> None:
        """Write out a value that is its type and its fields."""
        self.tag(f"o{_path_of(type_)}", count=len(fields))
        self.mapping(fields.items())

    def _pair(self, pair: tuple[Any, Any]) -> bytes:
        first, second = _PLAIN.get(type(pair[0])), _PLAIN.get(type(pair[1]))
        if first is None or second is None:
            return self._apart(pair)
        return first(pair[0]) + second(pair[1])

    def _apart(self, values: Iterable[Any]) -> bytes:
        out, self.out = self.out, []
        for value in values:
            self.put(value)
        piece, self.out = b"".join(self.out), out
        return piece

    def _within(self, value: Any) -> None:
        depth = self._above.get(id(value))
        if depth is not None:
            self.tag("^", count=len(self._above) - depth)  # it contains itself
            return
        self._above[id(value)] = len(self._above)
        try:
            self._put_parts(value)
        finally:
            del self._above[id(value)]

    def _put_parts(self, value: Any) -> None:
        kind = type(value)
        if kind is list or kind is tuple:
            self.tag(kind.__name__, count=len(value))
            for item in value:
                self.put(item)
        elif kind is dict or kind is types.MappingProxyType:
            self.tag(kind.__name__, count=len(value))
            self.mapping(value.items())
        elif isinstance(value, (set, frozenset)):
            self.tag(_path_of(kind), count=len(value))
            self.unordered(value)
        elif isinstance(value, type):
            self.tag(f"t{_path_of(value)}")
        elif isinstance(value, enum.Enum):
            self.tag(f"e{_path_of(kind)}")
            self.put(value.name)
        elif isinstance(value, types.FunctionType):
            self._put_function(value)
        elif isinstance(value, Definition):
            self.tag(f"d{kind.__name__}")
            self.put(value.name)
            self.put(value.fn)
        elif isinstance(value, types.ModuleType):
            self.tag(f"m{value.__name__}")
        elif isinstance(value, types.CodeType):
            self._put_code(value)
        elif any(base.__module__.partition(".")[0] in _ARRAYS for base in kind.__mro__):
            from towpath.caching_arrays import put_array

            put_array(self, value)
        elif dataclasses.is_dataclass(value):
            compared = [field.name for field in dataclasses.fields(value) if field.compare]
            self.named(kind, {name: getattr(value, name) for name in compared if hasattr(value, name)})
        elif hasattr(kind, "__attrs_attrs__"):
            self.named(kind, {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__ if field.eq})
        elif hasattr(kind, "__pydantic_fields__"):
            fields = {name: value.__dict__[name] for name in kind.__pydantic_fields__ if name in value.__dict__}
            self.named(kind, {**fields, **(getattr(value, "__pydantic_extra__", None) or {})})
        else:
            self.reduced(value)

    def _put_function(self, value: types.FunctionType) -> None:
        self.tag(f"f{identity_of(value)}")
        self._put_code(value.__code__)
        cells = []
        for cell in value.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:  # not filled yet
                cells.append(...)
        self.put((value.__defaults__, value.__kwdefaults__, cells))

    def _put_code(self, code: types.CodeType) -> None:
        """Write out what a function does, but not where it stands in its file."""
        self.tag("c")
        self.put((code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_flags, code.co_argcount))

    def reduced(self, value: Any) -> None:
        """Write out what pickle would take a value apart into."""
        kind = type(value)
        # Packages such as Dask's teach pickle to take tracebacks along: no part of what an exception is.
        reduce = None if isinstance(value, BaseException) else copyreg.dispatch_table.get(kind)
        try:
            parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception as error:
            raise Uncacheable(f"a {_path_of(kind)} is like no other, and cannot be recognised: {error}") from error
        if isinstance(parts, str):
            self.tag(f"g{_path_of(kind)}")
            self.out.append(_text(f"{getattr(value, '__module__', '')}.{parts}"))
            return
        make, args, state, items, pairs = (*parts, None, None, None, None)[:5]
        self.tag(f"r{_path_of(kind)}")
        self.put(make)
        self.put(args)
        self.put(state)
        for item in items or ():
            self.put(item)
        if pairs is not None and isinstance(value, OrderedDict):
            for pair in pairs:
                self.put(pair)
        elif pairs is not None:
            self.mapping(pairs)
        self.tag("end")


def _path_of(type_: type) -> str:
    return f"{type_.__module__}.{type_.__qualname__}"


def _text(value: str) -> bytes:
    data = value.encode(errors="surrogatepass")
    return b"s%d:%b" % (len(data), data)


def _float(value: float) -> bytes:
    return b"f" + (struct.pack(">d", value) if value == value else b"not a nr")  # noqa: PLR0124 every NaN is the same


def _range(value: range) -> bytes:
    """Write out the numbers, not how they were asked for: range(0, 3, 2) is range(0, 4, 2)."""
    return b"R%d,%d,%d;" % (len(value), value[0] if value else 0, value.step if len(value) > 1 else 1)


#: Values without parts, by their exact type.
_PLAIN: Final[Mapping[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: b"N",
    type(...): lambda _: b"E",
    type(NotImplemented): lambda _: b"I",
    bool: lambda value: b"T" if value else b"F",
    int: lambda value: b"i%x;" % value,
    float: _float,
    complex: lambda value: b"j" + _float(value.real) + _float(value.imag),
    str: _text,
    bytes: lambda value: b"b%d:%b" % (len(value), value),
    bytearray: lambda value: b"B%d:%b" % (len(value), value),
    range: _range,
}
