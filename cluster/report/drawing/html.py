"""Builds HTML that is escaped by construction: only what an element made itself is taken as markup."""

import html
from collections.abc import Iterable

_SHORT = 24
"""Characters that a cell should not break over lines."""
_VOID = frozenset({"meta", "img", "br", "hr"})


class Html(str):
    """Markup that needs no escaping any more."""

    __slots__ = ()


NONE = "n/a"
"""Stands in a table for what is not known."""

Content = str | Iterable["Content"]
"""Text, which is escaped; markup, which is not; or a series of both."""


def element(tag: str, *content: Content, **attributes: str | float | bool | None) -> Html:
    """Return one element.

    Args:
        tag: its name.
        content: what is in it.
        attributes: `class_` for class, `aria_label` for aria-label; None and False leave an attribute out, True is one
            without a value.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        key = name.rstrip("_").replace("_", "-")
        parts.append(key if value is True else f'{key}="{html.escape(_text(value))}"')
    start = f"<{' '.join(parts)}>"
    return Html(start) if tag in _VOID else Html(f"{start}{join(*content)}</{tag}>")


def join(*content: Content) -> Html:
    """Return everything one after the other, text escaped."""
    parts: list[str] = []
    for item in content:
        if isinstance(item, Html):
            parts.append(item)
        elif isinstance(item, str):
            parts.append(html.escape(item))
        else:
            parts += (join(part) for part in item)
    return Html("".join(parts))


def _text(value: str | float) -> str:
    """Return an attribute's value; coordinates of a drawing need no more than hundredths."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def table(caption: str, head: Iterable[Content], rows: Iterable[Iterable[Content]], *, text_columns: int = 1) -> Html:
    """Return a table in a frame that scrolls sideways by itself, by finger or by keyboard.

    Args:
        caption: what it shows.
        head: its column headings.
        rows: its cells; the first of a row is the row's heading.
        text_columns: how many columns from the left hold text; the others hold numbers.
    """

    def cell(index: int, content: Content) -> Html:
        short = "short" if isinstance(content, str) and len(content) <= _SHORT else None
        kind = short if index < text_columns else "number"
        return element("td", content, class_=kind) if index else element("th", content, class_=kind, scope="row")

    heading = element("tr", [
        element("th", content, scope="col", class_="short" if index < text_columns else "number")
        for index, content in enumerate(head)
    ])  # fmt: skip
    body = [element("tr", [cell(index, content) for index, content in enumerate(row)]) for row in rows]
    content = element("table", element("caption", caption), element("thead", heading), element("tbody", body))
    return element("div", content, class_="scroll", role="region", aria_label=caption, tabindex="0")
