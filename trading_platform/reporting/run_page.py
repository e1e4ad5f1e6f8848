"""A run as one HTML file: no library, no network, nothing that a content security policy would refuse.

It opens from a disk for years: the words, tables and charts are in the page as it is written, and the script only adds
what needs a hand - values under the pointer, sorting, filtering, a ticker's chart, a CSV file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from pathlib import Path

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.realistic_fills import REALISTIC
from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.resampled_figures import Interval
from trading_platform.reporting.charts import embedded
from trading_platform.reporting.market_words import benchmark_name, market_words, mode_words, money_words
from trading_platform.reporting.page_tables import card, tone
from trading_platform.reporting.plain import dollars, long_date
from trading_platform.reporting.run_intervals import RunIntervals, run_intervals
from trading_platform.reporting.run_page_charts import allocation_card, calendar_cards, course_card, strategy_lines
from trading_platform.reporting.run_page_tables import (
    denials_card,
    falls_card,
    halts_card,
    money_cards,
    settings_card,
    strategies_card,
    trades_card,
)
from trading_platform.reporting.run_prices import packed_prices, price_book
from trading_platform.reporting.run_record import RunRecord
from trading_platform.reporting.run_results import RunResults
from trading_platform.reporting.run_shape import contributions, returns_of
from trading_platform.reporting.run_verdict import SHORTEST_YEAR, against_market, signed_percent, verdict

HERE = Path(__file__).parent
STYLES = ("page.css", "run_page.css")
SCRIPT = "run_page.js"
PARTS = (
    ("course", "Course"),
    ("calendar", "Calendar"),
    ("falls", "Falls"),
    ("strategies", "Strategies"),
    ("allocations", "Allocations"),
    ("prices", "Prices"),
    ("trades", "Trades"),
    ("refused", "Refused"),
    ("settings", "Settings"),
)


def run_parts(
    record: RunRecord, results: RunResults, panel: MarketPanel | None, defaults: Mapping[str, object]
) -> tuple[str, str, str]:
    """Return title, body and data of a run's page, for a page of any frame.

    Parameters
    ----------
    panel
        The bars that the run traded; None: prices are known only where something was held.
    defaults
        The risk limits by default, against which slips in the settings are told.
    """
    returns = returns_of(record.days, record.run.capital)
    intervals, brought = run_intervals(returns), contributions(record.lives)
    parts = [
        _header(record, results, defaults),
        _tiles(record, results, intervals),
        _doubts(results),
        course_card(record, returns, benchmark_name(results.market)),
        calendar_cards(record, returns, benchmark_name(results.market)),
        falls_card(record, returns),
        strategies_card(record, results, returns, brought),
        strategy_lines(record, brought),
        allocation_card(record),
        _price_card(record, panel),
        trades_card(record, results),
        money_cards(results),
        denials_card(record),
        halts_card(record),
        settings_card(record, defaults),
    ]
    title = f"Run {results.run_id} · {market_words(results.market)}"
    return title, f"{_navigation()}<main>{''.join(parts)}</main>", record_days(record)


def document(title: str, body: str, data: str) -> str:
    """Return a whole page; `data` are script elements that hold no script."""
    style = "\n".join((HERE / name).read_text(encoding="utf-8") for name in STYLES)
    script = (HERE / SCRIPT).read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body>{body}{data}<script>{script}</script></body></html>\n"
    )


def record_days(record: RunRecord) -> str:
    """Return the sessions of all charts, once."""
    days = [day.session.isoformat() for day in record.days]
    return f'<script type="application/json" id="days">{embedded(days)}</script>'


def _digest(text: str) -> str:
    """Return what a content security policy calls this text; a parser turns every line end into one LF."""
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return "sha256-" + base64.b64encode(hashlib.sha256(normal.encode("utf-8")).digest()).decode("ascii")


def _navigation() -> str:
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name in PARTS)
    return f'<nav aria-label="Parts of this page">{links}</nav>'


def _header(record: RunRecord, results: RunResults, defaults: Mapping[str, object]) -> str:
    run = record.run
    words = [market_words(results.market), mode_words(run.mode)]
    words.append(f"{long_date(results.first_session)} to {long_date(results.last_session)}")
    words.append(f"{results.sessions:,} sessions")
    fills = f"realistic fills (seed {results.seed})" if results.fill_model == REALISTIC else "exact fills"
    words.append(fills)
    if run.status != "finished":
        words.append(f"not finished ({run.status})")
    sentence = verdict(results, {**defaults, **run.settings("risk")}, defaults)
    money = money_words(run.mode)
    tag = f' <span class="tag">{escape(run.tag)}</span>' if run.tag else ""
    note = f'<p class="note">{escape(run.note)}</p>' if run.note else ""
    named = f" · {escape(run.name)}" if run.name else ""
    return (
        f'<header class="run"><h1><span class="money {_money_class(run.mode)}">{escape(money)}</span> '
        f"Run {results.run_id}{named}{tag}</h1><p>{escape(' · '.join(words))}</p>"
        f'<p class="verdict">{escape(sentence)}</p>{note}</header>'
    )


def _money_class(mode: str) -> str:
    return {"alpaca_live": "real", "own_broker": "real", "alpaca_paper": "paper"}.get(mode, "simulated")


def _tiles(record: RunRecord, results: RunResults, intervals: RunIntervals) -> str:
    capital, final = dollars(record.run.capital, sign=False), dollars(results.final_equity, sign=False)
    market = benchmark_name(results.market)
    years = results.sessions / ANNUAL_SESSIONS
    costs = results.costs.total / max(sum(day.equity for day in record.days) / 100 / len(record.days), 0.01) / years
    tiles = [
        _lead_tile(results, intervals),
        _tile("In all", signed_percent(results.total_return), f"{capital} became {final}", results.total_return),
        _tile("Sharpe ratio over bills", _ratio(results.sharpe), _range(intervals.sharpe)),
        _tile(f"Against {market}", against_market(results) or "unknown", _gain(intervals.sharpe_gain)),
        _tile("Deepest fall", _share(results.max_drawdown), _range(intervals.max_drawdown, "%", sign=False)),
        _tile("Invested", _share(results.avg_exposure), f"beta {_ratio(results.beta)}"),
        _tile("Costs", dollars(results.costs.total, sign=False), f"{100 * costs:.2f} % of equity a year"),
    ]
    ranges = (
        f"The ranges hold 95 % of {intervals.resamples:,} resamples of the daily returns, drawn in blocks of a month "
        "or more: so far luck alone moves such figures. They say nothing of other years or markets."
        if intervals.resamples
        else "Too few sessions for ranges: at least 61 are needed."
    )
    return f'<section class="tiles run">{"".join(tiles)}</section><p class="soft ranges">{ranges}</p>'


def _lead_tile(results: RunResults, intervals: RunIntervals) -> str:
    """Return the gain over bills, a year where the run is long enough for that."""
    if results.excess_return is None or results.sessions < SHORTEST_YEAR:
        gain = results.total_return - results.bills_return
        return _tile("Over bills, in all", signed_percent(gain), f"in {results.sessions} sessions", gain, "lead")
    gain, words = results.excess_return, _range(intervals.excess_return, "%")
    return _tile("A year over bills", signed_percent(gain), words, gain, "lead")


def _tile(name: str, value: str, note: str, signed: float | None = None, kind: str = "") -> str:
    words = " words" if len(value) > 14 else ""
    return (
        f'<div class="tile {kind}"><span class="soft">{escape(name)}</span><b class="{tone(signed)}{words}">'
        f"{escape(value)}</b><small>{escape(note)}</small></div>"
    )


def _range(interval: Interval, unit: str = "", *, sign: bool = True) -> str:
    if not interval.low <= interval.high:
        return "range unknown"
    factor, digits, plus = (100.0, 1, "+" if sign else "") if unit else (1.0, 2, "")
    low, high = (f"{factor * value + 0.0:{plus}.{digits}f}" for value in interval)
    return f"{low} to {high} {unit}".rstrip()


def _gain(interval: Interval) -> str:
    if not interval.low <= interval.high:
        return "range unknown"
    return f"Sharpe ratio ahead by {interval.low:+.2f} to {interval.high:+.2f}"


def _ratio(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _share(fraction: float) -> str:
    return f"{100.0 * fraction:.1f} %"


def _doubts(results: RunResults) -> str:
    if not results.critique:
        return card("Before you believe it", "<p>The critique raised no objection.</p>", "doubts")
    items = "".join(f"<li>{escape(finding.message)}</li>" for finding in results.critique)
    return card("Before you believe it", f'<ul class="doubts">{items}</ul>', "doubts")


def _price_card(record: RunRecord, panel: MarketPanel | None) -> str:
    if not record.fills:
        return card("Prices", '<p class="soft">Nothing was traded.</p>', "prices")
    book = price_book(record, panel)
    source = "" if book.from_bars else "Prices are known only while something was held. "
    source += f"Every {_ordinal(book.step)} session is drawn. " if book.step > 1 else ""
    source += f"{book.left_out} tickers that traded least are left out." if book.left_out else ""
    data = f'<script type="application/json" id="price-data">{embedded(packed_prices(record, book))}</script>'
    body = (
        '<p class="controls" hidden><label>Ticker <select id="ticker"></select></label> '
        '<label>Years <select id="span"></select></label></p>'
        '<noscript><p class="soft">A ticker\'s chart needs JavaScript; the trades below do not.</p></noscript>'
        '<div class="plot h320" id="price-chart"></div>'
        '<p class="legend" hidden><span class="key"><i class="c-own"></i>close</span>'
        '<span class="key"><b class="up">▲</b>bought</span><span class="key"><b class="down">▼</b>sold</span>'
        '<span class="key"><i class="c-bad"></i>stop</span></p>'
        f'<p class="soft">{escape(source)}</p>{data}'
    )
    return card("Prices, purchases, sales and stops", body, "prices")


def _ordinal(step: int) -> str:
    return {2: "second", 3: "third"}.get(step, f"{step}th")
