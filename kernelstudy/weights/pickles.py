"""A pickle read as data: known names of tensors are understood, no code is found, none is called.

Python's own unpickler (the one written in Python) with what could import, call, or take memory
taken out. A class that is not known becomes a `Record` of its state, a call that is not known a
record of its name and arguments.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .layer import WeightsError

Rebuild = Callable[..., Any]
MOST_OPERATIONS = 1_000_000  # some 30 a tensor; bounds time and memory
MOST_COPIED = 64 * 2**20

# Nothing is ever called; files that ask for these are no weights, and are refused by name.
_NEVER = (
    *("os", "posix", "nt", "subprocess", "sys", "runpy", "importlib", "socket", "shutil", "pty"),
    *("ctypes", "webbrowser", "pickle", "_pickle", "code", "codeop", "marshal"),
    *("pip", "commands", "popen2", "pydoc", "timeit"),
)
_NEVER_BUILTINS = ("eval", "exec", "compile", "open", "__import__", "breakpoint", "input")


@dataclass(frozen=True)
class Name:
    """A global that the pickle names; it stays a name."""

    module: str
    name: str

    def __str__(self) -> str:
        module = "builtins" if self.module == "__builtin__" else self.module
        return f"{module}.{self.name}"


@dataclass(eq=False)
class Record:
    """An object of a class that is not looked up: its state alone."""

    kind: Name
    arguments: tuple = ()
    state: Any = None
    items: dict = field(default_factory=dict)  # of classes that derive from dict or list

    def append(self, value: Any) -> None:
        self.items[len(self.items)] = value


def load(
    file: BinaryIO,
    rebuild: Mapping[str, Rebuild],
    persistent: Callable[[Any], Any] | None = None,
    *,
    what: str,
) -> Any:
    """One pickle from `file` (in memory) as data.

    `rebuild`: what makes something of the calls to these full names; `persistent`: of references to
    data outside of the pickle. An object with `set_state` gets the state that the pickle gives it.

    Raises:
        WeightsError: for anything that is not data, and for a damaged pickle.
    """
    try:
        return _DataUnpickler(file, rebuild, persistent).load()
    except WeightsError as error:
        raise WeightsError(f"{what}: {error}") from error
    except Exception as error:  # damaged pickles raise anything
        raise WeightsError(f"{what} is a damaged pickle ({type(error).__name__})") from error


_PYTHONS: Any = vars(pickle)["_Unpickler"]


class _DataUnpickler(_PYTHONS):
    dispatch: dict[int, Any] = dict(_PYTHONS.dispatch)  # noqa: RUF012 (as in the base class)

    def __init__(self, file: BinaryIO, rebuild: Mapping[str, Rebuild], persistent):
        super().__init__(file, encoding="latin1")  # as Python 2 wrote bytes
        self._rebuild, self._persistent = rebuild, persistent
        self.copied = 0
        self.dispatch = _Counted(type(self).dispatch)

    def find_class(self, module: str, name: str) -> Name:
        named = Name(module, name)
        builtin = module in ("builtins", "__builtin__")
        if module.split(".")[0] in _NEVER or (builtin and name in _NEVER_BUILTINS):
            raise WeightsError(f"the pickle asks for {named}: refused, nothing was executed")
        return named

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise WeightsError("the pickle refers to data that are not in it")
        return self._persistent(pid)

    def _count(self, arguments: tuple) -> None:
        """What calls copy, of one text or list again and again for instance."""
        self.copied += sum(
            len(a) for a in arguments if isinstance(a, str | bytes | list | tuple | dict)
        )
        if self.copied > MOST_COPIED:
            raise WeightsError(
                f"the pickle's calls copy more than {MOST_COPIED / 2**20:,.0f} MiB: not read"
            )

    def load_put(self) -> None:
        place = self.readline()[:-1]
        if (
            not place.isdigit() or len(place) > 9
        ):  # many large ones of one remainder would take for ever
            raise WeightsError("the pickle has a place in its memo that is none")
        self.memo[int(place)] = self.stack[-1]

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def _call(self, what: Any, arguments: Any) -> Any:
        if not isinstance(arguments, tuple):
            raise WeightsError("the pickle calls what is not a function: refused")
        self._count(arguments)
        if not isinstance(what, Name):  # what a call that was not made would have given
            return Record(Name("", type(what).__name__), arguments)
        full = str(what)
        if full in self._rebuild:
            return self._rebuild[full](*arguments)
        if full == "collections.OrderedDict":
            return _filled(OrderedDict(), [x for pair in (*arguments, [])[0] for x in pair])
        if full in ("builtins.set", "builtins.frozenset", "builtins.list"):
            return list((*arguments, [])[0])
        return Record(what, arguments)  # any other call stays a record of what was asked for

    def load_newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not isinstance(kind, Name) or not isinstance(arguments, tuple):
            raise WeightsError("the pickle makes an object of what is not a class: refused")
        ordered = str(kind) == "collections.OrderedDict"
        self.append(OrderedDict() if ordered else Record(kind, arguments))

    def load_newobj_ex(self) -> None:
        self.stack.pop()  # keyword arguments
        self.load_newobj()

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif hasattr(target, "set_state"):
            target.set_state(state)
        # the state of anything else, an OrderedDict's metadata for instance, says nothing of weights

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _filled(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _filled(self.stack[-1], items)

    def load_dict(self) -> None:
        items = self.pop_mark()  # it rebinds self.append
        self.append(_filled({}, items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(items)

    def load_empty_set(self) -> None:
        self.append([])

    def load_additems(self) -> None:
        items = self.pop_mark()
        for item in items:
            self.stack[-1].append(item)

    for _code, _method in (
        (pickle.PUT, load_put),
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_newobj),
        (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.DICT, load_dict),
        # sets become lists: the hash of what is in them could take for ever
        (pickle.FROZENSET, load_frozenset),
        (pickle.EMPTY_SET, load_empty_set),
        (pickle.ADDITEMS, load_additems),
        # a bytearray is allocated before it is read, bytes are not
        (pickle.BYTEARRAY8, _PYTHONS.load_binbytes8),
    ):
        dispatch[_code[0]] = _method
    for _code in (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST, pickle.OBJ):
        del dispatch[_code[0]]
    for _code in (pickle.NEXT_BUFFER, pickle.READONLY_BUFFER):
        del dispatch[_code[0]]
    del _code, _method


class _Counted(dict):
    """The unpickler's operations, as many as are allowed."""

    count = 0

    def __getitem__(self, code: int):
        self.count += 1
        if self.count > MOST_OPERATIONS:
            raise WeightsError(
                f"the pickle takes more than {MOST_OPERATIONS:,} operations: not read"
            )
        return super().__getitem__(code)


def _filled(target: Any, items: list) -> Any:
    """`target`, a dict or a record, with keys and values taken in turn from `items`."""
    into = target.items if isinstance(target, Record) else target
    if not isinstance(into, dict):
        raise WeightsError("the pickle sets an item of what is not a dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # the hash of nested tuples could take for ever, and so could large numbers of one remainder
        plain = isinstance(key, str | bytes | type(None)) or (
            isinstance(key, int) and abs(key) < 2**60
        )
        into[key if plain else f"key {len(into)}"] = value
    return target
