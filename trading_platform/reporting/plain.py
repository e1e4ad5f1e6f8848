"""Strings that are safe to print into Markdown, and figures as people read them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Any

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UNKNOWN = "n/a"
# Signs with a meaning in Markdown or to OpenClaw, which reads directives such as [[reply_to]] and MEDIA: out of a text.
HARMLESS = str.maketrans({"`": "'", "*": "·", "[": "(", "]": ")", "|": "/", "~": "-", "\\": "/"})
WORDS = re.compile(r"[_ ]+")
TAG = re.compile(r"<(?=[A-Za-z/!?])")
DIRECTIVE = re.compile(r"(?i)\b(media|no_reply|heartbeat_ok)\b")


def safe(text: object, limit: int = 200) -> str:
    """Return `text` on one line, without control characters, Markdown or directives, cut to `limit` characters."""
    plain = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in str(text)[: 4 * limit])
    plain = " ".join(plain.translate(HARMLESS).split())
    plain = TAG.sub("(", plain)
    plain = DIRECTIVE.sub(lambda found: found.group()[0] + "." + found.group()[1:], plain)
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def columns(text: str) -> int:
    """Return how many monospace columns `text` takes: wide East Asian signs two, combining ones none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def fit(text: object, width: int, *, right: bool = False) -> str:
    """Return `text` in exactly `width` columns, cut with … or padded."""
    plain = safe(text)
    if columns(plain) > width:
        while columns(plain) > width - 1:
            plain = plain[:-1]
        plain += "…"
    space = " " * (width - columns(plain))
    return space + plain if right else plain + space


def short(text: object, width: int) -> str:
    """Return a name in exactly `width` columns: as it is, or with its words shortened alike, ``mean.rev``."""
    name = safe(text)
    words = [word for word in WORDS.split(name) if word]
    letters = width - (len(words) - 1)
    if columns(name) <= width or len(words) < 2 or letters < 2 * len(words):
        return fit(name, width)
    kept = [0] * len(words)
    while letters > 0 and any(kept[n] < len(word) for n, word in enumerate(words)):
        for n, word in enumerate(words):
            if letters > 0 and kept[n] < len(word):
                kept[n], letters = kept[n] + 1, letters - 1
    return fit(".".join(word[:count] for word, count in zip(words, kept, strict=True)), width)


def dollars(value: Any, *, sign: bool = True) -> str:
    """Return e.g. ``+$1,234.50`` or, without `sign`, ``$1,234.50``."""
    if value is None:
        return UNKNOWN
    lead = "-" if value < 0 else "+" if sign and value > 0 else ""
    return f"{lead}${abs(value):,.2f}"


def amount(value: Any) -> str:
    """Return e.g. ``+1,234.50``: dollars in a column that says so."""
    return UNKNOWN if value is None else f"{value:+,.2f}" if value else "0.00"


def percents(value: Any, digits: int = 2, *, sign: bool = True) -> str:
    """Return e.g. ``+0.41%``; nothing is neither plus nor minus."""
    if value is None:
        return UNKNOWN
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}%" if sign and rounded else f"{rounded:.{digits}f}%"


def quantity(value: Any) -> str:
    """Return shares in few digits: ``120``, ``0.375``, ``1,250``, ``12.5k``, ``1.2M``."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= max(unit, 10_000):
            return f"{value / unit:.1f}{letter}" if size < 100 * unit else f"{value / unit:.0f}{letter}"
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0").rstrip(".")


def long_date(text: str | None) -> str:
    """Return an ISO date as ``Tue 5 Mar 2024``, whatever the machine's locale."""
    if text is None:
        return UNKNOWN
    day = date.fromisoformat(text)
    return f"{WEEKDAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}"
