# SPDX-License-Identifier: MIT
"""NamedTuple and what else of `typing` stands in code that runs, without its start-up time.

`typing` and a tenth of a millisecond for each of its named tuples are a third of what
`capturectl list` takes, and a sixth of the daemon's start. Type checkers see the real ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, NamedTuple, NewType, Protocol, TypeVar, cast
else:
    try:
        from _collections import _tuplegetter  # as in collections.namedtuple
    except ImportError:
        from operator import itemgetter

        def _tuplegetter(index, doc):
            return property(itemgetter(index), doc=doc)

    Any = object

    def NewType(name, kind):  # noqa: N802 - its name
        """Make nothing new: values are of that kind."""
        return kind

    def cast(kind, value):
        """Return the value."""
        return value

    def TypeVar(name, **unused):  # noqa: N802 - its name
        """Stand in for a type variable."""
        return name

    class Generic:
        """Can be subscripted."""

        __slots__ = ()

        def __class_getitem__(cls, variable):
            return cls

    class Protocol:
        """Says what others are expected to have."""

        __slots__ = ()

    class _Record(type):
        """Makes the annotations of a class body the fields of a tuple."""

        def __new__(cls, name, bases, body):
            fields = tuple(body.get("__annotations__", ()))
            body["_field_defaults"] = {n: body.pop(n) for n in fields if n in body}
            body["_fields"] = body["__match_args__"] = fields
            body["__slots__"] = ()
            for index, field in enumerate(fields):
                body[field] = _tuplegetter(index, None)
            return super().__new__(cls, name, bases or (tuple,), body)

    class NamedTuple(metaclass=_Record):
        """A tuple whose fields have names; made when the class is, but for its constructor."""

        def __new__(cls, *values, **named):
            # Compiling it takes longer than all the rest, and few are needed by a command.
            cls.__new__ = _constructor(cls)
            return cls.__new__(cls, *values, **named)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **named):
            replaced = type(self)(*map(named.pop, self._fields, self))
            if named:
                raise ValueError(f"no such field: {', '.join(named)}")
            return replaced

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            fields = ", ".join(f"{n}={v!r}" for n, v in self._asdict().items())
            return f"{type(self).__name__}({fields})"

    def _constructor(cls):
        names = ", ".join(cls._fields)
        values = f"({names},)" if names else "()"
        made = eval(f"lambda cls, {names}: new(cls, {values})", {"new": tuple.__new__})
        made.__defaults__ = tuple(cls._field_defaults.values())
        return staticmethod(made)


__all__ = ["Any", "Generic", "NamedTuple", "NewType", "Protocol", "TypeVar", "cast"]
