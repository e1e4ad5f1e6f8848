"""From the report's Markdown to messages that Telegram accepts: HTML, cut at lines, never inside an entity.

Of Markdown only what the report writes is known: ``**bold**``, ```code```, and fences. Telegram counts 4096 UTF-16
units of a message after it has parsed the entities, and about 100 entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from typing import NamedTuple

LIMIT = 4096
ENTITIES = 90
INLINE = re.compile(r"\*\*(?P<bold>[^*]+)\*\*|`(?P<code>[^`]+)`")
FENCE = "```"


class Message(NamedTuple):
    """One message: as HTML, and as plain text for when the HTML is refused."""

    html: str
    plain: str


class _Line(NamedTuple):
    """A line of text; `is_code` if it stands in a fence."""

    text: str
    is_code: bool


def units(text: str) -> int:
    """Return the length of `text` as Telegram counts it: UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def split_messages(markdown: str, limit: int = LIMIT) -> list[Message]:
    """Return `markdown` as messages of at most `limit` units each, preferring breaks at blank lines."""
    messages: list[Message] = []
    part: list[_Line] = []
    for block in _blocks(markdown, limit):
        if part and _measure([*part, _Line("", is_code=False), *block]) > limit:
            messages.append(_message(part))
            part = []
        if part:
            part.append(_Line("", is_code=False))
        for line in block:
            if part and (_measure([*part, line]) > limit or _entities([*part, line]) > ENTITIES):
                messages.append(_message(part))
                part = []
            part.append(line)
    if part:
        messages.append(_message(part))
    return [message for message in messages if message.plain.strip()]


def _blocks(markdown: str, limit: int) -> Iterator[list[_Line]]:
    """Yield paragraphs of lines; a fence stays in its paragraph, and no line is longer than `limit`."""
    block: list[_Line] = []
    is_code = False
    for raw in markdown.splitlines():
        if raw.startswith(FENCE):
            is_code = not is_code
        elif not raw.strip() and not is_code:
            if block:
                yield block
            block = []
        else:
            block += [_Line(piece, is_code) for piece in _pieces(raw, limit)]
    if block:
        yield block


def _pieces(text: str, limit: int) -> list[str]:
    """Cut a line into pieces of at most `limit` units, never between the halves of a surrogate pair."""
    pieces = []
    while units(text) > limit:
        cut = limit
        while units(text[:cut]) > limit:
            cut -= 1
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def _measure(lines: list[_Line]) -> int:
    return units("\n".join(_plain(line) for line in lines))


def _entities(lines: list[_Line]) -> int:
    code = [False, *(line.is_code for line in lines)]
    fences = sum(now and not before for before, now in pairwise(code))
    return fences + sum(len(INLINE.findall(line.text)) for line in lines if not line.is_code)


def _message(lines: list[_Line]) -> Message:
    parts: list[str] = []
    for i, line in enumerate(lines):
        opens = line.is_code and (i == 0 or not lines[i - 1].is_code)
        closes = line.is_code and (i + 1 == len(lines) or not lines[i + 1].is_code)
        body = escape(line.text, quote=False) if line.is_code else _inline(line.text)
        parts.append(f"{'<pre>' if opens else ''}{body}{'</pre>' if closes else ''}")
    return Message("\n".join(parts), "\n".join(_plain(line) for line in lines))


def _inline(text: str) -> str:
    html, end = "", 0
    for found in INLINE.finditer(text):
        html += escape(text[end : found.start()], quote=False)
        tag = "b" if found["bold"] is not None else "code"
        html += f"<{tag}>{escape(found['bold'] or found['code'], quote=False)}</{tag}>"
        end = found.end()
    return html + escape(text[end:], quote=False)


def _plain(line: _Line) -> str:
    return line.text if line.is_code else INLINE.sub(lambda found: found["bold"] or found["code"], line.text)
