"""Settings as people write them: `1e6` for a million, one value for a list of one, `~/runs` for a folder at home."""

import os
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

_MOST_DIGITS = 18
_VARIABLE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<braced>\w+)\})(?=/|$)")


def meant_value(annotation: Any, value: Any) -> Any:
    """Return what a user means by a value of a setting; what is wrong with it beyond that, validation finds out.

    Args:
        annotation: the setting's type.
        value: as it stands in a YAML file, or as the command line has read it.

    Raises:
        ValueError: with what was expected.
    """
    kinds = _kinds(annotation)
    if value is None:
        return None
    # The command line's word for nothing.
    if type(None) in kinds and (int in kinds or float in kinds) and value == "None":
        return None
    kind = kinds[0]
    if get_origin(kind) is tuple:
        several = cast(Sequence[Any], value) if isinstance(value, list | tuple) else (value,)
        return tuple(meant_value(get_args(kind)[0], item) for item in several)
    meant = _MEANT.get(kind)
    return value if meant is None else meant(value)


def meant_path(text: str) -> Path:
    """Return a path whose beginning may be `~`, `~user` or a variable such as `$HOME`, and never begins so itself.

    Raises:
        ValueError: if there is no such home or variable, or it can be no path.
    """
    if not text or "\0" in text:
        raise ValueError("expected a path")
    if text.startswith(("./~", "./$")):
        return Path(text).absolute()
    if variable := _VARIABLE.match(text):
        name = variable["bare"] or variable["braced"]
        if not os.environ.get(name):
            raise ValueError(f"expected ${name} to be set in the environment (./{text} if the name begins with $)")
        text = os.environ[name] + text[variable.end() :]
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(
            f"expected a home folder for {text.partition('/')[0]}, but none is known: set HOME, or write the whole path"
            f" (./{text} if the name begins with ~)"
        ) from None


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _kinds(part))
    return (annotation,)


def meant_whole_number(value: Any) -> Any:
    """Return the whole number that a text such as `1e6` or a float is; raises ValueError if it is another value."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("expected a whole number")
    if not isinstance(value, str):
        return value
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError("expected a whole number") from None
    if not number.is_finite() or number.adjusted() > _MOST_DIGITS or number != number.to_integral_value():
        raise ValueError("expected a whole number")
    return int(number)


def _number(value: Any) -> Any:
    """Refuse a truth value, which Python takes for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _words(value: Any) -> Any:
    """Return the text of a whole number: a run may be called 2026."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _path(value: Any) -> Any:
    return meant_path(value) if isinstance(value, str) else value


_MEANT: dict[Any, Callable[[Any], Any]] = {int: meant_whole_number, float: _number, str: _words, Path: _path}
