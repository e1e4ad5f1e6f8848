"""The page's tables and meters: the day, the limits, and the lists."""

from __future__ import annotations

from html import escape
from typing import Literal

from trading_platform.core.regime_meaning import regime_words
from trading_platform.reporting.account_document import PositionPart
from trading_platform.reporting.charts import meter
from trading_platform.reporting.document import Report
from trading_platform.reporting.page_tables import Cell, card, money, percent, price, table, text
from trading_platform.reporting.plain import UNKNOWN, percents, quantity
from trading_platform.reporting.risk_document import RulePart
from trading_platform.reporting.text import PERIODS, RULES, UNUSED, benchmark_head, share_name
from trading_platform.reporting.trades_document import ExecutionPart, OrderPart

Step = Literal[
    "start_equity", "realized", "unrealized_change", "fees", "dividends", "interest", "cash_flow", "residual"
]
BRIDGE: dict[Step, str] = {
    "start_equity": "Equity at the previous close",
    "realized": "Realised",
    "unrealized_change": "Unrealised",
    "fees": "Fees",
    "dividends": "Dividends",
    "interest": "Interest of cash",
    "cash_flow": "Deposits and withdrawals",
    "residual": "Unexplained",
}
LONG_PERIODS = {
    "day": "Day",
    "week_to_date": "Week to date",
    "month_to_date": "Month to date",
    "year_to_date": "Year to date",
    "since_start": "Since start",
    "since_date": "Since the day asked for",
}
# Column titles; a leading # marks numbers.
# On a phone the first columns are seen without scrolling: the money stands there.
ShareKey = Literal["pnl", "realized", "unrealized_change", "fees", "dividends", "interest"]
SHARE_KEYS: tuple[ShareKey, ...] = ("pnl", "realized", "unrealized_change", "fees", "dividends", "interest")
SHARES = ("", "#P&L", "#realised", "#unrealised", "#fees", "#dividends", "#interest")
POSITIONS = (
    "",
    "#P&L",
    "#P&L %",
    "#day",
    "#value",
    "#weight",
    "#shares",
    "#entry",
    "#price",
    "#stop",
    "strategies",
    "sector",
    "#sessions",
)
TRADES = ("", "ticker", "#realised", "#amount", "#shares", "#price", "#fees", "strategies", "reason")
COSTS = ("", "#day", "#since start")
COST_NAMES = {
    "spread": "Spread",
    "slippage": "Slippage",
    "impact": "Market's reaction",
    "commission": "Commission",
    "regulatory": "Regulatory fees",
}
ORDERS = ("", "ticker", "#shares", "#limit", "strategy", "reason")
DIFFERENCES = ("kind", "ticker", "ours", "broker", "action")
EVENTS = ("time (UTC)", "event", "", "by")


def day_cards(report: Report) -> str:
    """Return bridge, returns and attribution."""
    cards = [_bridge_card(report), _returns_card(report), _costs_card(report), _cash_card(report)]
    earned = report["attribution"] or {"strategies": [], "tickers": []}
    for shares, title in ((earned["strategies"], "By strategy"), (earned["tickers"], "By ticker")):
        rows = [[text(share_name(share["name"])), *(money(share[key]) for key in SHARE_KEYS)] for share in shares]
        total = [text("Day"), money(report["daily_pnl"]), *[text("")] * 5]
        cards.append(card(title, table(SHARES, rows, total)) if rows else "")
    return f'<section class="grid">{"".join(cards)}</section>'


def limit_cards(report: Report) -> str:
    """Return headroom, sectors, allocation and strategy records."""
    meters = "".join(_meter(rule) for rule in report["risk"]["headroom"])
    sectors = [
        [
            text(s["sector"]),
            money(s["value"], sign=False),
            percent(s["pct"], sign=False),
            (str(s["positions"]), "num"),
        ]
        for s in report["risk"]["sectors"]
    ]
    records = [
        [text(r["strategy"]), money(r["pnl"]), (str(r["trades"]), "num"), percent(r["win_rate_pct"], sign=False)]
        for r in report["strategy_records"]
    ]
    cards = [
        card("Headroom", meters) if meters else "",
        card("Sectors", table(("", "#value", "#of equity", "#positions"), sectors)) if sectors else "",
        _allocation_card(report),
        card("Closed trades since start", table(("", "#P&L", "#trades", "#won"), records)) if records else "",
    ]
    return f'<section class="grid">{"".join(cards)}</section>' if any(cards) else ""


def list_cards(report: Report) -> str:
    """Return positions, trades, orders, differences, events and denials; empty ones are left out."""
    events = report["risk"]["events_today"]
    denials = [[text(code), (str(count), "num")] for code, count in report["denials_today"].items()]
    differences = [
        [text(d[key] or "") for key in ("kind", "ticker", "ours", "theirs", "action")] for d in report["reconciliation"]
    ]
    lists = (
        ("Positions", POSITIONS, [_position(p) for p in report["positions"]]),
        ("Trades of the day", TRADES, [_trade(t) for t in report["trades_today"]]),
        ("Orders for the next open", ORDERS, [_order(o) for o in report["orders_for_next_open"]]),
        ("Unreconciled with the broker", DIFFERENCES, differences),
        ("Risk events of the day", EVENTS, [[text(e[k]) for k in ("at", "kind", "message", "actor")] for e in events]),
        ("Refused by risk rules", ("rule", "#candidates"), denials),
    )
    return "".join(card(name, table(head, rows)) for name, head, rows in lists if rows or name == "Positions")


def _bridge_card(report: Report) -> str:
    bridge = report["bridge"]
    if bridge is None:
        return ""
    rows = [
        [text(name), money(bridge[key], sign=key != "start_equity")]
        for key, name in BRIDGE.items()
        if key != "residual" or bridge[key] != 0
    ]
    total = [text("Equity"), money(bridge["end_equity"], sign=False)]
    return card("Where the day came from", table((), rows, total))


def _returns_card(report: Report) -> str:
    rows = [
        [
            text(LONG_PERIODS[name]),
            money(period["pnl"]),
            percent(period["return_pct"], coloured=True),
            percent(period["max_drawdown_pct"], sign=False),
            percent(period["spy_return_pct"]),
            percent(period["equal_weight_return_pct"]),
        ]
        for name in PERIODS
        if (period := report["performance"]["periods"].get(name)) is not None
    ]
    head = ("", "#$", "#own", "#max fall", f"#{benchmark_head(report)}", "#equal")
    return card("Returns", table(head, rows))


def _costs_card(report: Report) -> str:
    day, whole = report["costs"]["day"] or {}, report["costs"]["since_start"]
    if not whole["total"]:
        return ""
    rows = [
        [text(name), *(money(part.get(key), sign=False) for part in (day, whole))]
        for key, name in COST_NAMES.items()
        if whole[key]
    ]
    total = [text("Together"), *(money(part.get("total"), sign=False) for part in (day, whole))]
    return card("What trading cost", table(COSTS, rows, total))


def _cash_card(report: Report) -> str:
    unused = report["not_invested_because"]
    if unused is None or not any(unused.values()):
        return ""
    known = sorted(((value, name) for name, value in unused.items() if value), reverse=True)
    rows = [[text(UNUSED[name]), money(value, sign=False)] for value, name in known]
    return card("Left in cash because", table(("", "#$"), rows))


def _allocation_card(report: Report) -> str:
    allocation = report["allocation"]
    if allocation is None:
        return ""
    change, influences = allocation["change"] or {}, allocation["influences"] or {}
    rows = [
        [
            text(name),
            percent(100 * weight, sign=False),
            percent(100 * change[name] if change.get(name) else None),
        ]
        for name, weight in sorted(report["rl_allocations"].items(), key=lambda item: -item[1])
    ]
    if allocation["source"] == "model":
        who = f"Model {allocation['model_id']}"
        if allocation["model_age_days"] is not None:
            who += f", {allocation['model_age_days']} days since the newest session it has seen"
    else:
        who = f"Equal weight: {allocation['reason']}"
    if influences:
        ordered = sorted(influences.items(), key=lambda item: -abs(item[1]))
        who += "; moved by " + ", ".join(f"{name} {percents(100 * share, 0, sign=False)}" for name, share in ordered)
    regime = "" if report["regime"] is None else f"Regime {regime_words(report['regime'])}. "
    shares = table(("", "#share", "#change"), rows)
    return card("Allocation", f'<p class="soft">{escape(regime + who)}</p>{shares}')


def _meter(rule: RulePart) -> str:
    """Return what is used of a limit; nothing where either is not known."""
    observed, limit = rule["observed"], rule["limit"]
    if observed is None or limit is None:
        return ""
    note = f" {rule['note']}" if rule["rule"] in ("position", "sector") else ""
    name = RULES.get(rule["rule"], rule["rule"]) + note
    used = observed / limit if limit else None
    return meter(name, _level(observed, rule["unit"]), _level(limit, rule["unit"]), used)


def _position(p: PositionPart) -> list[Cell]:
    return [
        text(p["ticker"]),
        money(p["pnl"]),
        percent(p["pnl_pct"], coloured=True),
        money(p["day_pnl"]),
        money(p["value"], sign=False),
        percent(p["weight_pct"], sign=False),
        (quantity(p["qty"]), "num"),
        price(p["entry"]),
        price(p["current"]),
        price(p["stop"]),
        text(_owners(p)),
        text(p["sector"] or UNKNOWN),
        ("" if p["sessions_held"] is None else str(p["sessions_held"]), "num"),
    ]


def _trade(t: ExecutionPart) -> list[Cell]:
    return [
        text(t["side"]),
        text(t["ticker"]),
        money(t["realized_pnl"] if t["side"] == "sell" else None),
        money(t["amount"], sign=False),
        (quantity(t["qty"]), "num"),
        price(t["price"]),
        money(-t["fees"]),
        text(_owners(t)),
        text(t["reason"]),
    ]


def _owners(row: PositionPart | ExecutionPart) -> str:
    """Return whose shares they are: a name, or every name with its shares."""
    shares = row["strategies"]
    if len(shares) < 2:
        return next(iter(shares), row["strategy"] or UNKNOWN)
    return ", ".join(f"{name} {quantity(shares[name])}" for name in sorted(shares, key=lambda name: -shares[name]))


def _order(o: OrderPart) -> list[Cell]:
    shares = (quantity(o["qty"]), "num")
    return [
        text(o["side"]),
        text(o["ticker"]),
        shares,
        price(o["limit_price"]),
        text(o["strategy"]),
        text(o["reason"]),
    ]


def _level(value: float, unit: str) -> str:
    return f"{value:.1f}%" if unit == "%" else f"{value:g}"
