"""Reads a pickle as a tree of inert values: nothing is imported, called or built, whatever the pickle asks for.

`torch.load(weights_only=True)` calls what is on its list, and `bytearray(3e9)` is: a file of 35 bytes takes 3 GB. It
also refuses a whole checkpoint for one argparse.Namespace in it. Here each is a `Call`, which may be left alone.
"""

import pickletools
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from distill.errors import ModelFileError

MAX_OPERATIONS = 2_000_000
"""Bound of a pickle's opcodes, so of the values made from it; a checkpoint of this size of network has thousands."""

_IGNORED = {"PROTO", "FRAME"}
_EMPTY: dict[str, type[Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_SINGLE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_GET, _PUT = {"GET", "BINGET", "LONG_BINGET"}, {"PUT", "BINPUT", "LONG_BINPUT"}
_FROM_MARK = {"TUPLE": tuple, "LIST": list, "FROZENSET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function by its name, such as `collections.OrderedDict`."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """What a call would have returned: who was to be called with what, and the entries that it was given afterwards."""

    callee: str
    arguments: Any
    entries: dict[Any, Any] = field(default_factory=dict[Any, Any])


@dataclass(frozen=True, slots=True)
class Persistent:
    """A reference out of the pickle, such as to a tensor's bytes."""

    identity: Any


@dataclass(frozen=True, slots=True)
class Tree:
    """The outermost value of a pickle, and all references out of it."""

    value: Any
    references: list[Persistent]


def read_tree(name: str, file: BinaryIO) -> Tree:
    """Return the tree of the pickle at the file's position, and leave the position behind it.

    Dicts, lists, tuples and constants are themselves, sets are lists, everything else is a `Global`, `Call` or
    `Persistent`. Values may be shared and may hold themselves. Entries whose keys are no text or number are left out.

    Raises:
        ModelFileError: if it is damaged or has more than `MAX_OPERATIONS`.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > MAX_OPERATIONS:
                break
            if opcode.name == "STOP":
                return Tree(machine.stack.pop(), machine.references)
            machine.step(opcode.name, argument)
    except Exception as error:  # what a damaged pickle raises has no common base
        raise ModelFileError(f"{name}: truncated or damaged: its pickle cannot be read") from error
    raise ModelFileError(f"{name}: its pickle has more than {MAX_OPERATIONS} operations; save the network alone")


class _Machine:
    """The stack of a pickle, its marks and its memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.references: list[Persistent] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, operation: str, argument: Any) -> None:  # noqa: PLR0912 - one case for each kind of opcode
        stack = self.stack
        match operation:
            case _ if operation in _CONSTANTS:
                stack.append(argument)
            case _ if operation in _SINGLE:
                stack.append(_SINGLE[operation])
            case _ if operation in _EMPTY:
                stack.append(_EMPTY[operation]())
            case _ if operation in _GET:
                stack.append(self._memo[argument])
            case _ if operation in _PUT:
                self._memo[argument] = stack[-1]
            case _ if operation in _TUPLES:
                count = _TUPLES[operation]
                stack[-count:] = [tuple(_exactly(stack, count))]
            case _ if operation in _FROM_MARK:
                items = self._items()
                self.stack.append(_FROM_MARK[operation](items))
            case _ if operation in _IGNORED:
                pass
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "MARK":
                self._marks.append(stack)
                self.stack = []
            case "POP":
                # As in pickle, a mark on top is popped like a value.
                _ = stack.pop() if stack else self._items()
            case "POP_MARK":
                self._items()
            case "DUP":
                stack.append(stack[-1])
            case _:
                self._compound(operation, argument)

    def _compound(self, operation: str, argument: Any) -> None:  # noqa: PLR0912 - the same
        stack = self.stack
        match operation:
            case "GLOBAL":
                stack.append(Global(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(Global(f"{_text(module)}.{_text(name)}"))
            case "REDUCE" | "NEWOBJ":
                arguments, callee = stack.pop(), stack.pop()
                stack.append(Call(_name(callee), arguments))
            case "NEWOBJ_EX":
                _, arguments, callee = stack.pop(), stack.pop(), stack.pop()
                stack.append(Call(_name(callee), arguments))
            case "INST":
                items = self._items()
                self.stack.append(Call(argument.replace(" ", ".", 1), tuple(items)))
            case "OBJ":
                callee, *items = self._items()
                self.stack.append(Call(_name(callee), tuple(items)))
            case "BUILD":
                stack.pop()
            case "BINPERSID":
                self.references.append(Persistent(stack.pop()))
                stack.append(self.references[-1])
            case "DICT":
                items = self._items()
                self.stack.append({})
                _set(self.stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set(stack[-1], [key, value])
            case "SETITEMS":
                items = self._items()
                _set(self.stack[-1], items)
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS" | "ADDITEMS":
                items = self._items()
                _extend(self.stack[-1], items)
            case _:
                raise ValueError(f"opcode {operation}")

    def _items(self) -> list[Any]:
        """Return what was pushed since the last mark, and go back to what was before it."""
        items = self.stack
        self.stack = self._marks.pop()
        return items


def _exactly(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise IndexError("a tuple of more than there is")
    return stack[-count:]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a global whose name is no text")
    return value


def _name(callee: object) -> str:
    return callee.name if isinstance(callee, Global) else "an object"


def _set(target: object, items: list[Any]) -> None:
    entries = target.entries if isinstance(target, Call) else target
    if not isinstance(entries, dict) or len(items) % 2:
        raise TypeError("entries of something that has none")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Hashing a tuple of shared tuples can take for ever.
        if isinstance(key, str | int | float):
            entries[key] = value


def _extend(target: object, items: list[Any]) -> None:
    if isinstance(target, list):
        cast(list[Any], target).extend(items)
    elif not isinstance(target, Call):
        raise TypeError("items of something that has none")
