"""Markdown to Telegram's HTML: right tags, right escapes, and cuts that never break an entity."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from trading_platform.reporting.telegram_text import ENTITIES, LIMIT, split_messages, units


class Tags(HTMLParser):
    """Reads messages as Telegram does: known tags only, closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""
        self.count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("b", "code", "pre")
        assert not attrs
        self.open.append(tag)
        self.count += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.open == [], "an entity is cut"
    return tags


def test_short_text_is_one_message() -> None:
    (message,) = split_messages("**P&L** `A<B`\n\n```\na  & b\n<c>\n```\nend")
    assert message.html == "<b>P&amp;L</b> <code>A&lt;B</code>\n\n<pre>a  &amp; b\n&lt;c&gt;</pre>\nend"
    assert message.plain == "P&L A<B\n\na  & b\n<c>\nend"


def test_long_fence_is_closed_and_opened_again() -> None:
    rows = "\n".join(f"row {i:04d} " + "x" * 20 for i in range(400))
    messages = split_messages(f"**Table**\n```\n{rows}\n```")
    assert len(messages) > 2
    for message in messages:
        assert units(parsed(message.html).text) <= LIMIT
        assert "<pre>" in message.html
    assert "".join(m.plain for m in messages).count("row ") == 400


def test_breaks_fall_between_paragraphs_where_they_can() -> None:
    text = "\n\n".join(f"{i} " + "word " * 300 for i in range(6))
    messages = split_messages(text)
    assert len(messages) >= 3
    for message in messages:
        assert message.plain[0].isdigit()


def test_one_endless_line_is_cut_between_whole_signs() -> None:
    messages = split_messages("😀" * 5000)
    assert [units(m.plain) for m in messages] == [4096, 4096, 1808]
    assert "".join(m.plain for m in messages) == "😀" * 5000


def test_many_entities_are_spread_over_messages() -> None:
    messages = split_messages("\n".join(f"**{i}** word" for i in range(250)))
    assert [parsed(m.html).count for m in messages] == [ENTITIES, ENTITIES, 70]


@pytest.mark.parametrize("text", ["", "\n\n", "```\n```"])
def test_nothing_makes_no_message(text: str) -> None:
    assert split_messages(text) == []


LINES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200),
        st.sampled_from(["```", "", "**bold** and `code`", "<b>&amp;", "* ** ``` `"]),
    ),
    max_size=80,
)


@given(LINES, st.integers(20, 500))
def test_every_message_is_short_and_well_formed_and_nothing_is_lost(lines: list[str], limit: int) -> None:
    messages = split_messages("\n".join(lines), limit)
    for message in messages:
        seen = parsed(message.html)
        assert seen.text == message.plain
        assert units(message.plain) <= limit
    event(f"messages: {min(len(messages), 5)}")
    kept = "".join("".join(m.plain.split()) for m in messages)
    inside = "".join("".join(line.split()) for line in lines if not line.startswith("```"))
    assert kept.replace("*", "").replace("`", "") == inside.replace("*", "").replace("`", "")
