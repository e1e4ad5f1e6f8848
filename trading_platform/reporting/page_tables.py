"""Cards and tables of a page, and how money, percent and prices stand in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

from trading_platform.reporting.plain import dollars, percents

Cell = tuple[str, str]  # text, CSS classes


def card(title: str, body: str, key: str = "") -> str:
    """Return a card with a title; `key` lets links reach it."""
    place = f' id="{escape(key)}"' if key else ""
    return f'<section class="card"{place}><h2>{escape(title)}</h2>{body}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], total: Sequence[Cell] | None = None) -> str:
    """Return a table that scrolls where it is too wide; titles that begin with # stand over numbers."""
    body = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    if not body:
        return '<p class="soft">None.</p>'
    if total is not None:
        body += f'<tr class="sum">{cells(total)}</tr>'
    titles = "".join(
        f'<th class="{"num" if name.startswith("#") else ""}">{escape(name.removeprefix("#"))}</th>'
        if name
        else "<td></td>"
        for name in head
    )
    return scrolling(f"<table>{f'<tr>{titles}</tr>' if head else ''}{body}</table>")


def scrolling(inner: str) -> str:
    """Return a frame that scrolls sideways, with the keyboard as well."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="table, scrolls sideways">{inner}</div>'


def cells(row: Sequence[Cell]) -> str:
    """Return the cells of a row."""
    return "".join(f'<td class="{classes}">{escape(text)}</td>' for text, classes in row)


def tone(value: float | None) -> str:
    """Return the CSS class of a gain, a loss, or neither."""
    return "" if not value else "up" if value > 0 else "down"


def text(value: str) -> Cell:
    """Return a cell of text."""
    return (value, "")


def number(value: str) -> Cell:
    """Return a cell of a number that is written already."""
    return (value, "num")


def day(value: date) -> Cell:
    """Return a cell of a day."""
    return (value.isoformat(), "day")


def money(value: float | None, *, sign: bool = True) -> Cell:
    """Return a cell of dollars; with `sign` gains and losses have their colours."""
    if value is None:
        return ("", "num")
    return (dollars(value, sign=sign and value != 0), f"num {tone(value) if sign else ''}" if value else "num soft")


def percent(value: float | None, digits: int = 2, *, sign: bool = True, coloured: bool = False) -> Cell:
    """Return a cell of percent."""
    return ("" if value is None else percents(value, digits, sign=sign), f"num {tone(value) if coloured else ''}")


def price(value: float | None) -> Cell:
    """Return a cell of a price."""
    return ("" if value is None else f"{value:,.2f}", "num")
