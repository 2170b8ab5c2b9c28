"""Words of users: compared without case, spaces and punctuation, and shown in messages."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_shortly = reprlib.Repr()
_shortly.maxstring = _shortly.maxother = 200
_shortly.maxlong = 40


def plain(word: str) -> str:
    """Return a word's letters and digits in small letters: `mspacman` for `Ms. Pac-Man`."""
    return re.sub(r"[\W_]+", "", word).casefold()


def words_of(name: str) -> set[str]:
    """Return the words of an identifier in small letters: `fc`, `h` and `a` of `fc_h_a`, `q` and `net` of `qNet2`."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


def nearest(word: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known words that look most like `word`, best first.

    Args:
        word: what was found; only its beginning is looked at if it is long.
        known: what could have been meant.
        most: how many to return at most.
        cutoff: least likeness, from 0 to 1.
    """
    by_plain = {plain(name): name for name in known}
    return [by_plain[near] for near in difflib.get_close_matches(plain(word[:100]), by_plain, n=most, cutoff=cutoff)]


def shown(value: Any) -> str:
    """Return a value for a message, in one line and cut short if it is long."""
    return "nothing" if value is None else _shortly.repr(str(value) if isinstance(value, Path) else value)
