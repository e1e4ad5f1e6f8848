"""Templates and what stands around every page: who looks, where they are, what it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trading_platform.reporting.page_tables import tone
from trading_platform.reporting.plain import dollars, percents, quantity

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
ACCOUNT_PAGES = (
    ("", "Now"),
    ("risk", "Risk"),
    ("day", "Day"),
    ("strategies", "Strategies"),
    ("journal", "Journal"),
    ("settings", "Settings"),
)


def environment() -> Environment:
    """Return the templates; everything that is put into them is escaped, and a name that is missing is a fault."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "dollars": dollars,
        "plain_dollars": lambda value: dollars(value, sign=False),
        "percents": percents,
        "quantity": quantity,
        "tone": tone,
        "clock": clock,
        "day_clock": day_clock,
        "share": share,
    }
    found.globals["account_pages"] = ACCOUNT_PAGES
    return found


def clock(instant: datetime | None) -> str:
    """Return the time of day of an instant, UTC."""
    return "" if instant is None else f"{instant.astimezone(UTC):%H:%M:%S}"


def day_clock(instant: datetime | None) -> str:
    """Return day and time of an instant, UTC."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def share(fraction: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """Return a fraction as percent."""
    return percents(None if fraction is None else 100.0 * fraction, digits, sign=sign)


def meter(used: float | None, label: str) -> Markup:
    """Return a bar of how much of a limit is used."""
    width = 0.0 if used is None else max(0.0, min(1.0, used)) * 100
    level = "off" if used is None else "bad" if used > 1.0 else "warn" if used >= 0.75 else "good"
    return Markup(  # noqa: S704 - the label is escaped, the rest is ours
        f'<svg class="track" role="img" aria-label="{escape(label)}"><rect class="{level}" width="{width:.1f}%" '
        'height="100%"/></svg>'
    )


def trusted(html: str) -> Markup:
    """Return HTML that `reporting` has written, with everything in it escaped there."""
    return Markup(html)  # noqa: S704


def json_block(key: str, text: str) -> Markup:
    """Return data for a script, in an element that is none; `text` is from `charts.embedded`, which escapes it."""
    return Markup(f'<script type="application/json" id="{escape(key)}">{text}</script>')  # noqa: S704


Context = dict[str, Any]
