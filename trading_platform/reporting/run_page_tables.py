"""The tables of a run's page: falls, strategies, trades, money, refusals, halts, settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import Floats
from trading_platform.reporting.charts import embedded
from trading_platform.reporting.narrow import KEPT
from trading_platform.reporting.page_tables import Cell, card, day, money, number, percent, price, table, text
from trading_platform.reporting.plain import dollars, quantity
from trading_platform.reporting.run_figures import Returns
from trading_platform.reporting.run_record import RunRecord, TradeLine
from trading_platform.reporting.run_results import RunResults
from trading_platform.reporting.run_shape import (
    Fall,
    TickerPart,
    correlations,
    earned_between,
    growth,
    held_at,
    held_shares,
    worst_falls,
)
from trading_platform.reporting.run_summary import CAUSES

SHOWN = 4  # tickers that a fall names
WRITTEN_TRADES = 60  # that stand in the page itself; the script shows all
FALLS = ("#fell", "from", "lowest", "back", "#sessions", "held at the top", "lost most")
STRATEGIES = (
    "",
    "#P&L",
    "#realised",
    "#unrealised",
    "#dividends",
    "#fees",
    "#all costs",
    "#trades",
    "#won",
    "#turnover a year",
    "#held",
    "#with market",
)
TRADES = (
    "",
    "#P&L",
    "#P&L %",
    "strategy",
    "bought",
    "sold",
    "#sessions",
    "#shares",
    "#in at",
    "#out at",
    "#costs",
    "why sold",
)
COSTS = {
    "spread": "Spread",
    "slippage": "Slippage",
    "impact": "Market's reaction",
    "commission": "Commission",
    "regulatory": "Regulatory fees",
}
DENIALS = ("rule", "#refused", "first", "last", "because")
TABLES = ("engine", "costs", "risk", "strategies", "sizing", "exits", "cash", "data", "universe", "regime")


def falls_card(record: RunRecord, returns: Returns) -> str:
    """Return the deepest falls with their dates, what was held at the top, and what lost most."""
    falls = worst_falls(growth(returns.own))
    rows = [_fall(record, fall) for fall in falls]
    return card("Deepest falls", table(FALLS, rows), "falls")


def strategies_card(record: RunRecord, results: RunResults, returns: Returns, brought: Mapping[str, Floats]) -> str:
    """Return what each strategy contributed and how alike they move; the rows add up to the account's profit.

    `brought` are the `contributions` by close, (T,) dollars.
    """
    equity = np.array([day.equity / 100 for day in record.days])
    shares = held_shares(record.lives, equity)
    market = np.cumsum(np.nan_to_num(returns.benchmark))
    rows: list[Sequence[Cell]] = []
    for name, result in results.strategies.items():
        alike = _correlation(brought.get(name), market)
        held = float(shares[name].mean()) if name in shares else 0.0
        rows.append(
            [
                text(name),
                money(result.pnl),
                money(result.realized),
                money(result.unrealized),
                money(result.dividends),
                money(-result.fees),
                money(-result.costs),
                number(f"{result.trades:,}"),
                percent(None if result.win_rate is None else 100 * result.win_rate, 0, sign=False),
                number("" if result.turnover is None else f"{result.turnover:.1f}"),
                percent(100 * held, 1, sign=False),
                number("" if math.isnan(alike) else f"{alike:.2f}"),
            ]
        )
    account = results.account
    rows.append(
        [
            text("interest, account"),
            money(account.pnl),
            money(account.realized),
            money(account.unrealized),
            money(account.dividends),
            money(-account.fees),
            *[text("")] * 6,
        ]
    )
    total = account.pnl + math.fsum(result.pnl for result in results.strategies.values())
    body = table(STRATEGIES, rows, [text("together"), money(round(total, 2)), *[text("")] * 10])
    note = "P&L = realised + unrealised + dividends - fees; costs in the prices are in the realised already."
    return card(
        "By strategy, dollars",
        f'{body}<p class="soft">{note}</p>{alike_table(brought)}',
        "strategies",
    )


def trades_card(record: RunRecord, results: RunResults) -> str:
    """Return the closed trades: the latest as a table, all of them as data that the script sorts and filters."""
    if not record.trades:
        return card("Trades", '<p class="soft">No trade was closed.</p>', "trades")
    sessions = [day.session for day in record.days]
    latest = sorted(record.trades, key=lambda trade: (-trade.exit, trade.ticker))[:WRITTEN_TRADES]
    count = f"{len(record.trades):,} closed trades"
    shown = f"; the latest {len(latest)} are shown" if len(latest) < len(record.trades) else ""
    data = f'<script type="application/json" id="trade-data">{embedded(packed_trades(record.trades))}</script>'
    controls = (
        '<p class="controls" hidden><label>Find <input id="find" type="search" placeholder="ticker, strategy, reason">'
        '</label> <button type="button" id="csv">Download CSV</button></p>'
    )
    rows = [_trade(trade, sessions) for trade in latest]
    return card(
        "Trades",
        f'{controls}<p class="soft" id="trade-count">{count}{shown}.</p>'
        f'<div id="trade-table">{table(TRADES, rows)}</div>'
        f'<p class="controls" hidden><button type="button" id="more">Show more</button></p>{data}',
        "trades",
    )


def packed_trades(trades: Sequence[TradeLine]) -> dict[str, Any]:
    """Return the trades by column as JSON values; names are numbered, money is in cents, days are rows."""
    names = {
        column: sorted({str(getattr(trade, column)) for trade in trades}) for column in ("ticker", "strategy", "reason")
    }
    places = {column: {name: n for n, name in enumerate(found)} for column, found in names.items()}
    columns: dict[str, list[float | int]] = {
        column: [places[column][getattr(trade, column)] for trade in trades] for column in names
    }
    for column in ("entry", "exit", "pnl"):
        columns[column] = [getattr(trade, column) for trade in trades]
    columns["costs"] = [trade.fees + trade.market_costs for trade in trades]
    columns["gain"] = [round(100 * trade.gain, 2) for trade in trades]
    columns["quantity"] = [round(trade.quantity, 6) for trade in trades]
    columns["in"] = [round(trade.entry_price, 4) for trade in trades]
    columns["out"] = [round(trade.exit_price, 4) for trade in trades]
    return {"names": names, "columns": columns}


def money_cards(results: RunResults) -> str:
    """Return costs by kind, what else came and went, and what was left in cash and why."""
    costs = [[text(name), money(getattr(results.costs, kind), sign=False)] for kind, name in COSTS.items()]
    total = [text("Together"), money(results.costs.total, sign=False)]
    note = '<p class="soft">Commission and regulatory fees were paid, the rest is in the prices.</p>'
    other = [[text("Interest of cash"), money(results.interest)], [text("Dividends"), money(results.dividends)]]
    other += [[text("Deposits"), money(results.cash_flow)]] if results.cash_flow else []
    unused = [
        [text(CAUSES[name]), money(value, sign=False)]
        for name, value in sorted(results.not_invested_because.items(), key=lambda item: -(item[1] or 0.0))
        if value
    ]
    cards = [
        card("Costs by kind", table(("", "#dollars"), costs, total) + note),
        card("Other money", table(("", "#dollars"), other)),
    ]
    if unused:
        cards.append(card("Left in cash, mean dollars a session", table(("because", "#dollars"), unused)))
    return f'<section class="grid three" id="costs">{"".join(cards)}</section>'


def denials_card(record: RunRecord) -> str:
    """Return how often each rule refused a candidate."""
    rows = [
        [text(line.code), number(f"{line.times:,}"), day(line.first), day(line.last), (_meaning(line.code), "wide")]
        for line in record.denials
    ]
    return card("Refused by risk rules", table(DENIALS, rows), "refused")


def halts_card(record: RunRecord) -> str:
    """Return halts, releases, pauses and operators' words; nothing where there was none."""
    if not record.events:
        return ""
    rows = [
        [day(event.session), text(event.kind.replace("_", " ")), (event.message, "wide")] for event in record.events
    ]
    return card("Halts and pauses", table(("day", "what", ""), rows))


def settings_card(record: RunRecord, defaults: Mapping[str, object]) -> str:
    """Return which settings, data and program the numbers are of; limits that differ from the defaults are marked."""
    run = record.run
    facts = [
        ("Run", f"{run.id}, {run.status}"),
        ("Market data", run.source),
        ("Data fingerprint", run.data_hash),
        ("Settings fingerprint", run.fingerprint),
        ("Program", run.code_version),
        ("Seed", str(run.seed)),
        ("Strategies", ", ".join(run.strategies)),
        ("Capital", dollars(run.capital, sign=False)),
    ]
    rows: list[Sequence[Cell]] = [[text(name), (value, "wide")] for name, value in facts]
    listed = []
    for name in TABLES:
        for setting, value in sorted(run.settings(name).items()):
            own = "" if name != "risk" or defaults.get(setting, value) == value else f" (default {defaults[setting]})"
            listed.append([text(f"{name}.{setting}"), (f"{_written(value)}{own}", "wide")])
    every = f"<details><summary>All settings</summary>{table((), listed)}</details>" if listed else ""
    return card("What these numbers are of", f"{table((), rows)}{every}", "settings")


def _fall(record: RunRecord, fall: Fall) -> list[Cell]:
    days, top = record.days, max(fall.peak, 0)
    equity = days[top].equity / 100
    held = held_at(record.levels, top, equity)
    lost = [part for part in earned_between(record.levels, record.fills, top, fall.bottom) if part.part < 0.0]
    last = len(days) if fall.recovery is None else fall.recovery
    return [
        number(f"{100 * fall.depth:.2f} %"),
        day(days[top].session),
        day(days[fall.bottom].session),
        ("not yet", "") if fall.recovery is None else day(days[fall.recovery].session),
        number(f"{last - fall.peak:,}"),
        (_named(held, lambda part: f"{part.ticker}{KEPT}{100 * part.part:.0f}{KEPT}%") or "cash only", "wide"),
        (_named(lost, lambda part: f"{part.ticker}{KEPT}{dollars(part.part)}"), "wide"),
    ]


def _named(parts: Sequence[TickerPart], words: Any) -> str:
    more = f", {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ", ".join(words(part) for part in parts[:SHOWN]) + more


def _trade(trade: TradeLine, sessions: Sequence[date]) -> list[Cell]:
    costs = (trade.fees + trade.market_costs) / 100
    return [
        text(trade.ticker),
        money(trade.pnl / 100),
        percent(100 * trade.gain, coloured=True),
        text(trade.strategy),
        day(sessions[trade.entry]),
        day(sessions[trade.exit]),
        number(f"{trade.exit - trade.entry:,}"),
        number(quantity(trade.quantity)),
        price(trade.entry_price),
        price(trade.exit_price),
        money(costs, sign=False),
        text(trade.reason.replace("_", " ")),
    ]


def alike_table(brought: Mapping[str, Floats]) -> str:
    """Return the correlations of what strategies `brought` day by day, each (T,) dollars.

    Columns are numbered to stay narrow.
    """
    names = list(brought)
    if len(names) < 2 or len(next(iter(brought.values()))) < 3:
        return ""
    found = correlations([brought[name] for name in names])
    rows = [
        [text(f"{n + 1} {name}"), *(_alike_cell(float(found[n, k]), same=n == k) for k in range(len(names)))]
        for n, name in enumerate(names)
    ]
    head = ("correlation of daily gains", *(f"#{n + 1}" for n in range(len(names))))
    return table(head, rows)


def _alike_cell(value: float, *, same: bool) -> Cell:
    if same or math.isnan(value):
        return ("", "num")
    shade = min(4, int(abs(value) * 5))
    return (f"{round(value, 2) + 0.0:.2f}", f"num {'g' if value > 0 else 'l'}{shade}" if shade else "num")


def _correlation(brought: Floats | None, market: Floats) -> float:
    return math.nan if brought is None or len(market) < 3 else float(correlations([brought, market])[0, 1])


def _meaning(code: str) -> str:
    return DenialCode(code).meaning if code in DenialCode.__members__ else ""


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_written(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
