"""The report as a message: Markdown for OpenClaw and Telegram, phone-wide tables, most important first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from trading_platform.core.regime_meaning import regime_words
from trading_platform.reporting.bridge import UNATTRIBUTED
from trading_platform.reporting.document import Report
from trading_platform.reporting.market_words import benchmark_short, in_currency, mode_words
from trading_platform.reporting.own_costs import own_costs_words
from trading_platform.reporting.plain import (
    amount,
    columns,
    dollars,
    fit,
    long_date,
    percents,
    quantity,
    safe,
    short,
)
from trading_platform.reporting.risk_document import AllocationPart, RegimePart
from trading_platform.storage.replay_days import replay_words

LIMIT = 3500  # OpenClaw cuts at 4000, Telegram at 4096
WIDTH = 34  # monospace columns of a narrow phone
ALERT_WIDTH = 180
RULE_WIDTH = 16
NOTHING = "Nothing has traded yet. Start with `python autonomous_trading_engine.py`; it explains itself."
BROKERS = {"alpaca": "Alpaca", "alpaca_snapshot": "Alpaca, last stored snapshot"}
COSTS = ("spread", "slippage", "impact", "commission", "regulatory")
UNUSED = {
    "no_signal": "Nothing was wanted",
    "slots": "No free slot",
    "caps": "Caps",
    "size": "Size bounds",
    "halts": "Halts",
}
PERIODS = {
    "day": "Day",
    "week_to_date": "Week",
    "month_to_date": "Month",
    "year_to_date": "Year",
    "since_start": "Start",
    "since_date": "Since",
}
Return = Literal["return_pct", "spy_return_pct", "equal_weight_return_pct", "max_drawdown_pct"]
RETURNS: tuple[Return, ...] = ("return_pct", "spy_return_pct", "equal_weight_return_pct", "max_drawdown_pct")
RULES = {
    "drawdown": "Drawdown",
    "total_drawdown": "Total drawdown",
    "daily_loss": "Day's loss",
    "exposure": "Invested",
    "positions": "Positions",
    "position": "Largest",
    "sector": "Sector",
    "loss_streak": "Losses in a row",
    "vix": "VIX",
}
STOP_WORDS = ("HALTED", "PAUSED", "NO NEW TRADES")


class Rows(NamedTuple):
    """How many rows of each list are shown."""

    alerts: int
    positions: int
    trades: int
    others: int


# From roomy to tight: the first that fits is taken.
SIZES = (Rows(8, 14, 12, 8), Rows(7, 10, 10, 6), Rows(6, 8, 7, 5), Rows(5, 6, 5, 4), Rows(4, 4, 3, 3), Rows(3, 2, 2, 2))


def summary_text(report: Report, limit: int = LIMIT) -> str:
    """Return the report as Markdown of at most `limit` characters; long lists are cut with a count."""
    text = ""
    for rows in SIZES:
        text = "\n\n".join(part for part in _parts(report, rows) if part)
        text = text if report["run"] is None else in_currency(text, report["run"]["market_data"])
        if len(text) <= limit:
            return text
    return _cut(text, limit)


def _parts(report: Report, rows: Rows) -> list[str]:
    if report["source"] == "none":
        return [_title(report), NOTHING, _alerts(report, rows)]
    return [
        _title(report),
        _headline(report),
        _alerts(report, rows),
        _bridge(report),
        _positions(report, rows),
        _trades(report, rows),
        _strategies(report, rows),
        _returns(report),
        _risk(report),
        _costs(report),
        _replay(report),
        _cash(report),
        _allocation(report, rows),
        _next_open(report, rows),
    ]


def _title(report: Report) -> str:
    session = report["session"]
    lines = []
    asked = session["asked"] if session["is_session"] is False else report["date"]
    lines.append(f"**Trading report · {long_date(asked)}**")
    if session["is_session"] is False:
        last = f" Last session: {long_date(session['date'])}." if session["date"] is not None else ""
        lines.append(f"The exchange is closed.{last}")
    words = [safe(word) for word in place_words(report)]
    if session["market_open"]:
        words.append("market open")
    elif session["close"] is not None:
        words.append(f"{'half day, ' if session['half_day'] else ''}close {session['close']}")
    if report["source"] != "none":
        lines.append(" · ".join(words))
    return "\n".join(lines)


def place_words(report: Report) -> list[str]:
    """Return whose money it is, on which market, and what kind of run: first of all on every picture and text."""
    run = report["run"]
    broker = BROKERS.get(report["source"])
    if run is None:
        return [broker or "No account"]
    if broker is not None:
        return [run["money"], broker, run["market"]]
    return [run["money"], run["market"], mode_words(run["mode"])]


def benchmark_head(report: Report) -> str:
    """Return the benchmark's name for the head of a column."""
    run = report["run"]
    return "SPY" if run is None else benchmark_short(run["market_data"])


def standing_words(report: Report) -> str:
    """Return e.g. ``12.5 points behind SPY since the start, 20% invested``; empty before a first close."""
    whole = report["performance"]["periods"].get("since_start")
    words = []
    own, theirs = (None, None) if whole is None else (whole["return_pct"], whole["spy_return_pct"])
    if own is not None and theirs is not None:
        points, market = round(own - theirs, 1), benchmark_head(report)
        called = "the market" if market == "market" else market
        side = "ahead of" if points > 0 else "behind"
        words.append(f"{abs(points):.1f} points {side} {called} since the start" if points else f"level with {called}")
    exposure = report["risk_status"]["exposure_pct"]
    words += [] if exposure is None else [f"{percents(exposure, 0, sign=False)} invested"]
    return ", ".join(words)


def _headline(report: Report) -> str:
    pnl = report["daily_pnl"]
    sign = "⚪" if not pnl else "🟢" if pnl > 0 else "🔴"
    session = report["session"]
    day = "today" if session["market_open"] else "in that session" if session["is_session"] is False else "on the day"
    total = f"Total {dollars(report['total_pnl'])} ({percents(report['total_pnl_pct'])})"
    first = f"{sign} **{dollars(pnl)} ({percents(report['daily_pnl_pct'])})** {day}"
    lines = [first, f"Equity **{dollars(report['account']['equity'], sign=False)}** · {total}", standing_words(report)]
    return "\n".join(filter(None, lines))


def _alerts(report: Report, rows: Rows) -> str:
    lines = []
    for alert in report["alerts"][: rows.alerts]:
        text = safe(alert, ALERT_WIDTH)
        lines.append(f"⛔ **{text}**" if text.startswith(STOP_WORDS) else f"⚠️ {text}")
    hidden = len(report["alerts"]) - rows.alerts
    if hidden > 0:
        lines.append(f"… and {hidden} more alerts")
    return "\n".join(lines)


def _bridge(report: Report) -> str:
    bridge = report["bridge"]
    if bridge is None:
        return ""
    parts = [
        ("Realised", bridge["realized"]),
        ("Unrealised", bridge["unrealized_change"]),
        ("Fees", bridge["fees"]),
        ("Dividends", bridge["dividends"]),
        ("Interest", bridge["interest"]),
        ("Deposits, withdrawals", bridge["cash_flow"]),
        ("UNEXPLAINED", bridge["residual"]),
    ]
    lines = [_pair(name, amount(value)) for name, value in parts if value]
    if not lines:
        return ""
    lines.append(_pair("Change of equity", amount(bridge["equity_change"])))
    return _fence("Where it came from, $", lines)


def _costs(report: Report) -> str:
    day, whole = report["costs"]["day"], report["costs"]["since_start"]
    if not whole["total"]:
        return ""
    lines = [f"{'':12}{'day':>10}{'start':>12}"] if day is not None else [f"{'':22}{'start':>12}"]
    for name in (*COSTS, "total"):
        if whole[name]:
            today = "" if day is None else f"{day[name]:,.2f}"
            lines.append(f"{name.capitalize():12}{today:>10}{whole[name]:>12,.2f}")
    own = own_costs_words(report["own_costs"])
    return "\n".join(filter(None, [_fence("What trading cost, $", lines), own]))


def _replay(report: Report) -> str:
    """Return live against replay, where the account is at a broker."""
    summary = report["replay_check"]
    if summary is None:
        return ""
    return "\n".join(["**Live against replay, $**", *(safe(line, 400) for line in replay_words(summary))])


def _cash(report: Report) -> str:
    unused = report["not_invested_because"]
    if unused is None or not any(unused.values()):
        return ""
    known = sorted(((value, name) for name, value in unused.items() if value), reverse=True)
    return _fence("Left in cash because, $", [_pair(UNUSED[name], f"{value:,.0f}") for value, name in known])


def _positions(report: Report, rows: Rows) -> str:
    positions = report["positions"]
    if not positions:
        return "No positions."
    exposure = report["risk_status"]["exposure_pct"]
    lines = [f"{'':7}{'shares':>7}{'day $':>11}{'P&L':>9}"]
    for p in positions[: rows.positions]:
        gain = percents(p["pnl_pct"], 1)
        lines.append(f"{fit(p['ticker'], 7)}{quantity(p['qty']):>7}{amount(p['day_pnl']):>11}{gain:>9}")
    hidden = positions[rows.positions :]
    if hidden:
        known = [p["day_pnl"] for p in hidden if p["day_pnl"] is not None]
        lines.append(f"{fit(f'{len(hidden)} more', 14)}{amount(round(sum(known), 2)) if known else '':>11}")
    return _fence(
        f"{len(positions)} position{'s' if len(positions) > 1 else ''}, {percents(exposure, 0, sign=False)} invested",
        lines,
    )


def _trades(report: Report, rows: Rows) -> str:
    trades = report["trades_today"]
    if not trades:
        return "No trades."
    lines = []
    for t in trades[: rows.trades]:
        head = f"{fit(t['side'], 4)} {quantity(t['qty']):>5} {fit(t['ticker'], 6)}"
        lines.append(f"{head}{t['price']:>8,.2f} {short(t['strategy'], 8)}")
    if len(trades) > rows.trades:
        lines.append(f"{len(trades) - rows.trades} more")
    closed = report["closed_trades_today"]
    total = sum(trip["pnl"] for trip in closed)
    note = f", {len(closed)} closed {dollars(round(total, 2))}" if closed else ""
    return _fence(f"{len(trades)} fill{'s' if len(trades) > 1 else ''}{note}", lines)


def _strategies(report: Report, rows: Rows) -> str:
    attribution = report["attribution"]
    if attribution is None or not attribution["strategies"]:
        return ""
    shares = attribution["strategies"]
    lines = [_pair(share_name(share["name"]), amount(share["pnl"])) for share in shares[: rows.others]]
    if len(shares) > rows.others:
        rest = sum(share["pnl"] for share in shares[rows.others :])
        lines.append(_pair(f"{len(shares) - rows.others} more", amount(round(rest, 2))))
    tickers = [share for share in attribution["tickers"] if not share["name"].startswith("(")]
    if len(tickers) > 1:
        for word, share in (("best", tickers[0]), ("worst", tickers[-1])):
            lines.append(_pair(f"{word}: {safe(share['name'])}", amount(share["pnl"])))
    return _fence("Who earned it, $", lines)


def share_name(name: str) -> str:
    """Return who earned it; what is no strategy's is mostly interest of cash."""
    return "Interest, account" if name == UNATTRIBUTED else name


def _returns(report: Report) -> str:
    lines: dict[tuple[int, str], str] = {}  # of periods with the same sessions the first is shown; the start always
    for name, word in PERIODS.items():
        period = report["performance"]["periods"].get(name)
        if period is not None:
            same = (period["sessions"], "since" if name == "since_date" else "")
            line = f"{word:6}" + "".join(f"{_short(period[key], key):>7}" for key in RETURNS)
            if name == "since_start" or same not in lines:
                lines[same] = line
    head = f"{'%':6}{'own':>7}{benchmark_head(report):>7}{'equal':>7}{'max DD':>7}"
    return _fence("Returns", [head, *lines.values()]) if lines else ""


def _short(value: float | None, key: str) -> str:
    if value is None:
        return "-"
    rounded = round(value, 2 if abs(value) < 99.995 else 0) + 0.0
    digits = 2 if abs(value) < 99.995 else 0
    return f"{rounded:.{digits}f}" if key == "max_drawdown_pct" or not rounded else f"{rounded:+.{digits}f}"


def _risk(report: Report) -> str:
    lines = [f"{'':16}{'now':>9}{'limit':>9}"]
    for rule in report["risk"]["headroom"]:
        if rule["rule"] not in RULES or rule["limit"] is None:
            continue
        name = RULES[rule["rule"]]
        if rule["rule"] in ("position", "sector") and rule["note"]:
            name += " " + short(rule["note"], RULE_WIDTH - len(name) - 1)
        name = fit(name, RULE_WIDTH)
        lines.append(f"{name}{_level(rule['observed'], rule['unit']):>9}{_level(rule['limit'], rule['unit']):>9}")
    return _fence("Risk", lines) if len(lines) > 1 else ""


def _level(value: float | None, unit: str) -> str:
    if value is None:
        return "n/a"
    if unit == "%":
        return f"{value:.1f}%"
    return f"{value:.1f}" if unit == "points" else f"{value:.0f}"


def _chance(odds: RegimePart | None, regime: str) -> str:
    """Return a state's probability in brackets; none is certain, however it is rounded."""
    probability = None
    match regime:
        case "bull" | "bear" | "consolidation" if odds is not None:
            probability = odds[regime]
    if not probability:
        return ""
    return " (over 99%)" if probability > 0.99 else f" ({percents(100 * probability, 0, sign=False)})"


def _allocation(report: Report, rows: Rows) -> str:
    lines = []
    regime, odds = report["regime"], report["regime_probabilities"]
    if regime is not None:
        name, _, meaning = regime_words(regime).partition(": ")
        words = f": {safe(meaning)}" if meaning else ""
        lines.append(f"Regime **{safe(name)}**{_chance(odds, regime)}{words}")
    allocation = report["allocation"]
    if allocation is None:
        return "\n".join(lines)
    lines.append(_who_decided(allocation))
    weights = sorted(report["rl_allocations"].items(), key=lambda item: (-item[1], item[0]))
    change = allocation["change"] or {}
    table = [
        f"{fit(name, 18)}{percents(100 * weight, 1, sign=False):>7}{_moved(change.get(name)):>9}"
        for name, weight in weights[: rows.others]
    ]
    if len(weights) > rows.others:
        table.append(f"{len(weights) - rows.others} more")
    fence = "\n" + _fence("", table) if table else ""
    return "\n".join(lines) + fence


def _who_decided(allocation: AllocationPart) -> str:
    if allocation["source"] != "model":
        return f"Equal weight: {safe(allocation['reason'], 90)}"
    age = allocation["model_age_days"]
    text = f"Model {safe(allocation['model_id'], 24)}" + (f", {age} days old" if age is not None and age >= 0 else "")
    influences = sorted((allocation["influences"] or {}).items(), key=lambda item: -abs(item[1]))[:2]
    if influences:
        text += "; moved by " + ", ".join(
            f"{safe(name, 24)} {percents(100 * s, 0, sign=False)}" for name, s in influences
        )
    return text


def _moved(change: float | None) -> str:
    if change is None or abs(change) < 0.0005:
        return ""
    return f"{100 * change:+.1f}"


def _next_open(report: Report, rows: Rows) -> str:
    orders = report["orders_for_next_open"]
    lines = []
    if orders:
        names = [f"{safe(o['side'])} {quantity(o['qty'])} {safe(o['ticker'], 12)}" for o in orders[: rows.others]]
        more = f", {len(orders) - rows.others} more" if len(orders) > rows.others else ""
        lines.append(f"Next open: {', '.join(names)}{more}")
    denials = report["denials_today"]
    if denials:
        most = [f"{safe(code, 30)} {count}" for code, count in list(denials.items())[:3]]
        lines.append(f"Refused by risk rules: {', '.join(most)}")
    return "\n".join(lines)


def _pair(name: str, value: str) -> str:
    return f"{fit(name, WIDTH - columns(value) - 1)} {value}"


def _fence(title: str, lines: Sequence[str]) -> str:
    body = "\n".join(line.rstrip() for line in lines)
    return (f"**{title}**\n" if title else "") + f"```\n{body}\n```"


def _cut(text: str, limit: int) -> str:
    """Return whole leading blocks of `text` and a last line that says what happened."""
    note = "… cut; the full report has the rest"
    kept = ""
    for part in text.split("\n\n"):
        longer = f"{kept}\n\n{part}" if kept else part
        if len(longer) + len(note) + 2 > limit:
            break
        kept = longer
    return f"{kept}\n\n{note}"
