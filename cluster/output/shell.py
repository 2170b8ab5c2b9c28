"""Commands that a message tells the user to copy: they hold whatever words they are given."""

import os
import re
import shlex

_SPECIAL = re.compile(rb"[^ -~]|['\\]")


def command_line(*words: str | os.PathLike[str]) -> str:
    """Return words as a shell reads them; what is not printable is spelled `$'...'`, which bash, zsh and ksh know."""
    return " ".join(map(_quoted, words))


def _quoted(word: str | os.PathLike[str]) -> str:
    text = os.fspath(word)
    if text.isprintable():
        return shlex.quote(text)
    escaped = _SPECIAL.sub(lambda match: b"\\x%02x" % match[0][0], os.fsencode(text))
    return f"$'{escaped.decode('ascii')}'"
