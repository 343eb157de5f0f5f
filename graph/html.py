"""HTML by functions: `tag("td", name, class_="number")`. Whatever is not markup already is escaped, so that nothing has to be remembered."""

from __future__ import annotations

from html import escape

VOID = {"link", "meta"}
"""Elements of this application's pages that have no end tag."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *inside: str, **attributes: str) -> Markup:
    """An element. Attributes are written as keywords: `class_` is class, `aria_label` is aria-label."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{join(*inside)}</{name}>")


def join(*parts: str) -> Markup:
    """Parts one after the other, text among them escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))
