"""Reads YAML files of settings: as people write them, and as if a stranger had."""

import codecs
import os
import re
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from distill.errors import ConfigError
from distill.words import shown

MOST_BYTES = 1 << 20
_MOST_NESTED = 20
_TEXT = "tag:yaml.org,2002:str"
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file.

    Raises:
        ConfigError: if it cannot be read, or is no mapping of settings.
    """
    try:
        document = yaml.load(_text(path), Loader=_SettingsLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {_one_line(error)}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected lines such as `batch_size: 64`, found {_kind_of(document)}")
    return cast(dict[str, Any], document)


class _Loader(Protocol):
    """The part of a loader that PyYAML gives no types."""

    def peek_event(self) -> yaml.Event: ...

    def construct_object(self, node: yaml.Node, *, deep: bool) -> object: ...


class _Resolvers(Protocol):
    """The class of a loader, likewise."""

    def add_implicit_resolver(self, tag: str, pattern: re.Pattern[str], first: list[str], /) -> None: ...


class _SettingsLoader(yaml.SafeLoader):
    """Takes for numbers, truth values and nothing only what is clearly so, and refuses what a reader would overlook.

    What it takes for something else than text is part of what `yaml.safe_dump` puts quotes around if it is text.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, unless it is nested too deep, has a type of its own, or is an alias of more than a value."""
        event = cast(_Loader, self).peek_event()
        wrong, tag = None, getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent) and isinstance(self.anchors.get(event.anchor), yaml.CollectionNode):
            wrong = f"expected the list written out again, found its alias *{event.anchor}"
        elif tag not in (None, "!", _TEXT):
            wrong = f"expected a value without a tag, found {shown(tag)}"
        elif self._depth >= _MOST_NESTED:
            wrong = f"expected at most {_MOST_NESTED} levels"
        if wrong is not None:
            raise ComposerError(None, None, wrong, event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping whose keys differ."""
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = cast(_Loader, self).construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConstructorError(
                    None, None, f"expected the name of a setting, found {_kind_of(key)}", key_node.start_mark
                )
            if key in found:
                raise ConstructorError(
                    None, None, f"expected every key once, found {shown(key)} again", key_node.start_mark
                )
            found[key] = cast(_Loader, self).construct_object(value_node, deep=deep)
        return found


_SettingsLoader.yaml_implicit_resolvers = {}
_EXPONENT = r"(?:[eE][-+][0-9]+)?"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", list("yYnNtTfFoO")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", rf"[-+]?(?:[0-9]+\.[0-9]*{_EXPONENT}|\.[0-9]+{_EXPONENT}|\.(?:inf|Inf|INF))", list("-+0123456789.")),
    ("float", r"\.(?:nan|NaN|NAN)", ["."]),
):
    cast(_Resolvers, _SettingsLoader).add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _text(path: Path) -> str:
    """Return the text of a plain file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no text.
    """
    # Opening a pipe must not wait for somebody to write into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"expected a file, found {'a folder' if stat.S_ISDIR(mode) else 'a pipe or device'}")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes of settings, found a larger file")
    if data.startswith(_WIDE) or b"\0" in data:
        raise ValueError("expected text in UTF-8, found UTF-16, UTF-32 or no text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected UTF-8, found the byte 0x{data[error.start]:02x} in line {data[: error.start].count(10) + 1};"
            " save it as UTF-8"
        ) from None


def _one_line(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong, and where."""
    problem = error.problem or error.context or "it is not clear what is meant"
    hint = "; indent with spaces" if r"'\t'" in problem else ""
    if "single document" in (error.context or ""):
        problem = "expected one document, found another one after it"
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{' '.join(problem.split())}{hint}"


def _kind_of(document: object) -> str:
    names: dict[type[object], str] = {list: "a list", dict: "a mapping", str: "text"}
    return names.get(type(document), shown(document))
