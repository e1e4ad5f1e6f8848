"""The summary of a finished run for a terminal of any width: verdict, money, risk, costs, strategies, doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trading_platform.core.realistic_fills import REALISTIC
from trading_platform.core.types import Floats
from trading_platform.reporting.market_words import benchmark_name, market_words
from trading_platform.reporting.narrow import KEPT, Column, pairs, table, wrap
from trading_platform.reporting.plain import dollars
from trading_platform.reporting.run_results import RunResults
from trading_platform.reporting.run_verdict import signed_percent, verdict

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = str.maketrans(BLOCKS, "_.,-:=+#")
FLAT = 0.02  # of the first value: a curve that moved less than this is drawn against this much
LONGEST_LINE = 40
CAUSES = {
    "no_signal": "nothing was wanted",
    "slots": "no free slot",
    "caps": "caps",
    "size": "size bounds",
    "halts": "halts",
}
Rows = list[tuple[str, str]]


def summary_lines(
    results: RunResults,
    equity: Floats,
    capital: float,
    limits: Mapping[str, object],
    defaults: Mapping[str, object],
    width: int,
) -> list[str]:
    """Return the summary in lines of at most `width` columns; the first blank line ends the verdict.

    `equity` (T,) and `capital` are dollars.
    """
    days = f"{results.first_session} to {results.last_session}, {results.sessions:,} sessions"
    fills = f", realistic fills (seed {results.seed})" if results.fill_model == REALISTIC else ""
    lines = wrap(f"SIMULATED, {market_words(results.market)}{fills}: {days}", width)
    lines += wrap(verdict(results, limits, defaults), width)
    lines += ["", *_curve(results, equity, capital, width)]
    lines += _block("Money", _money(results), width)
    if results.fills:
        lines += _block("Risk", _risk(results), width)
        lines += _block(f"Costs {_dollars(results.costs.total)}", _costs(results), width)
    lines += _block("Left in cash, mean dollars a session", _cash(results), width)
    lines += ["", "By strategy, in dollars", *_strategies(results, width)] if results.fills else []
    lines += _block("Orders", _orders(results), width)
    lines += _block("Capital was split by", results.allocation.rows(), width)
    lines += _doubts(results, width)
    return lines


def sparkline(values: Floats, width: int = LONGEST_LINE) -> str:
    """Return `values` (n,) as a line of block characters, at most `width` wide, first and last value included."""
    if len(values) == 0:
        return ""
    count = min(width, len(values))
    picked = [float(values[round(i * (len(values) - 1) / max(count - 1, 1))]) for i in range(count)]
    low, high = min(picked), max(picked)
    span = max(high - low, FLAT * abs(picked[0]))
    if not span > 0.0:
        return BLOCKS[0] * count
    return "".join(BLOCKS[min(len(BLOCKS) - 1, round((v - low) / span * (len(BLOCKS) - 1)))] for v in picked)


def for_encoding(line: str, encoding: str) -> str:
    """Return `line` as a console of `encoding` can show it: the curve in plain signs where it knows no blocks."""
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        return line.translate(PLAIN_BLOCKS).encode(encoding, "replace").decode(encoding)
    return line


def _curve(results: RunResults, equity: Floats, capital: float, width: int) -> list[str]:
    """Return the equity's line between its two ends; on a narrow screen the line stands by itself."""
    first, last = _dollars(capital), _dollars(results.final_equity)
    room = width - len(first) - len(last) - 2
    if room >= 10:
        return [f"{first} {sparkline(equity, min(LONGEST_LINE, room))} {last}"]
    return [first, sparkline(equity, min(LONGEST_LINE, width)), last]


def _money(results: RunResults) -> Rows:
    market = benchmark_name(results.market)
    rows = [
        ("return", f"{_percent(results.total_return)} in all, {_percent(results.annual_return)} a year"),
        ("over bills", f"{_percent(results.excess_return)} a year"),
        (market, f"{_percent(results.benchmark_return)} in all"),
        ("equal weight", f"{_percent(results.universe_return)} in all"),
        ("interest", _dollars(results.interest)),
    ]
    rows += [("dividends", _dollars(results.dividends))] if results.dividends else []
    return rows + ([("deposits", dollars(results.cash_flow))] if results.cash_flow else [])


def _risk(results: RunResults) -> Rows:
    alpha = f"{_percent(results.alpha)} a year"
    return [
        ("Sharpe ratio", f"{_ratio(results.sharpe)} over bills, {_ratio(results.sharpe_plain)} plain"),
        ("beta", _ratio(results.beta)),
        ("alpha", f"{alpha}, t {_ratio(results.alpha_t)}"),
        ("deepest fall", f"{results.max_drawdown:.2%}".replace("%", " %")),
        ("invested", f"{_share(results.avg_exposure)} on average, {_share(results.avg_exposure_calm)} on calm days"),
    ]


def _costs(results: RunResults) -> Rows:
    costs = results.costs
    names = ("spread", "slippage", "impact", "commission", "regulatory")
    return [("", ", ".join(f"{name}{KEPT}{_dollars(getattr(costs, name))}" for name in names))]


def _cash(results: RunResults) -> Rows:
    known = {name: value for name, value in results.not_invested_because.items() if value}
    parts = [f"{CAUSES[name]}{KEPT}${value:,.0f}" for name, value in sorted(known.items(), key=lambda item: -item[1])]
    return [("", ", ".join(parts))] if parts else []


def _orders(results: RunResults) -> Rows:
    denied = sorted(results.denials.items(), key=lambda item: -item[1])
    stopped = results.stopped_strategies
    halts = [f"{halt['kind'].replace('_', ' ')} {halt['session']}" for halt in results.halts]
    return [
        ("placed", f"{results.orders:,} orders, {results.fills:,} fills, {results.trades:,} closed trades"),
        ("refused", ", ".join(f"{code}{KEPT}{count:,}" for code, count in denied) or "none"),
        ("halts", ", ".join(halts) or "none"),
        *[("stopped", f"{stop['strategy']} since {stop['session']}, {stop['message']}") for stop in stopped],
    ]


def _strategies(results: RunResults, width: int) -> list[str]:
    """Return what each strategy contributed; the rows add up to the account's profit."""
    found = results.strategies
    total = results.account.pnl + sum(result.pnl for result in found.values())
    names, gains = list(found), [f"{result.pnl:+,.2f}" for result in found.values()]
    costs = [f"{result.costs:,.2f}" for result in found.values()]
    trades = [str(result.trades) for result in found.values()]
    wins = ["" if result.win_rate is None else f"{result.win_rate:.0%}" for result in found.values()]
    turns = ["" if result.turnover is None else f"{result.turnover:.1f}" for result in found.values()]
    for name, value in (("interest, account", results.account.pnl), ("together", total)):
        names.append(name)
        gains.append(f"{value:+,.2f}")
        for texts in (costs, trades, wins, turns):
            texts.append("")
    columns = [
        Column("P&L", gains, 9),
        Column("costs", costs, 5),
        Column("trades", trades, 4),
        Column("won", wins, 3),
        Column("turnover a year", turns, 1),
    ]
    return table(Column("strategy", names, 10, is_number=False), columns, width)


def _doubts(results: RunResults, width: int) -> list[str]:
    """Return the critique's objections in words."""
    if not results.critique:
        return ["", *wrap("Doubts: none that the critique knows.", width)]
    count = len(results.critique)
    lines = ["", f"Doubts ({count}): before you believe it"]
    for finding in results.critique:
        lines += [f"  {line}" for line in wrap(f"- {finding.message}", width - 2, "  ")]
    return lines


def _block(title: str, rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    if not rows:
        return []
    if len(rows) == 1 and not rows[0][0]:
        return ["", title, *(f"  {line}" for line in wrap(rows[0][1], width - 2))]
    return ["", title, *pairs(rows, width)]


def _percent(fraction: float | None) -> str:
    """Return two decimal places, more where they would all be zeros."""
    if fraction is None:
        return "n/a"
    return signed_percent(fraction) if abs(fraction) < 1e-4 else f"{100.0 * fraction:+.2f} %"


def _share(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{100.0 * fraction:.1f} %"


def _ratio(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _dollars(value: float) -> str:
    return dollars(value, sign=False)
