"""Text that a terminal shows and does not obey: what is not printable is written out, as Python writes it."""


def literal(text: str, *, keep: str = "") -> str:
    r"""Return text on one line, with control characters, line ends, bidi controls and undecodable bytes written out.

    Args:
        text: that may hold a user's words, such as a path or a name: `a\x1b[2J` becomes `a\\x1b[2J`.
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def paragraph(text: str) -> str:
    """Return text with its line ends kept and further lines set in, so that none of them passes for another message."""
    return "\n    ".join(map(literal, text.split("\n")))
