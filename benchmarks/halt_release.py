"""Replay a history with the three ways out of a drawdown halt, and audit every entry of it against the caps.

Run: python -m benchmarks.halt_release FOLDER [--write]   (--write puts the result into docs/results-risk.md)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from risk_config import RiskConfig
from trading_platform.core.costs import CostConfig, ExitConfig, SizingConfig
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.market import Market, Signals, build_market, build_signals
from trading_platform.core.metrics import annual_return, sharpe_ratio, volatility, worst_drawdown
from trading_platform.core.risk.denial_codes import DENIAL_CODES
from trading_platform.core.risk.limits import Limits, limits_of
from trading_platform.core.risk.rules import HALTED, RELEASED
from trading_platform.core.session import Rules
from trading_platform.core.simulate import (
    N_CODES,
    Books,
    backtest,
    decide_books,
    new_scratch,
    open_books,
    process_session,
)
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.registry import FIRST_SET, make_strategies

WARM_UP = 260  # sessions: the longest lookback of a strategy is 252
CAPITAL = 100_000.0
RELEASES = ("shadow", "equity", "manual")
HALF_CENT = 0.005


@dataclass(frozen=True)
class History:
    """A market ready to be replayed, and its strategies."""

    panel: MarketPanel
    market: Market
    signals: Signals
    sessions: list[date]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """One replay: metrics as fractions, halts and releases as dates, entries audited and those beyond a cap."""

    allocation: str
    release: str
    limit: float
    annual_return: float
    sharpe: float
    volatility: float
    max_drawdown: float
    exposure: float
    halted_sessions: int
    events: list[tuple[date, str]]
    denials: dict[str, int]


def load(folder: Path) -> History:
    """Read a folder of daily bars and compute all strategies' signals."""
    panel = FilesMarketData(folder).history()
    sessions: list[date] = panel.sessions.astype("datetime64[D]").tolist()
    strategies = make_strategies(FIRST_SET)
    signals = build_signals(prepare_signals(panel, strategies))
    market = build_market(panel, NyseCalendar().exchange_seconds(sessions), RiskConfig().correlation_window)
    return History(panel, market, signals, sessions, FIRST_SET)


def rules_of(config: RiskConfig) -> Rules:
    """Return the rules of a replay with default exits and costs."""
    return Rules(limits_of(config.to_dict()), ExitConfig().rates(), CostConfig().rates(), SizingConfig().rates())


def replay(history: History, allocation: str, weights: Floats, config: RiskConfig) -> Replay:
    """Run the kernel over the whole history."""
    stop = len(history.sessions)
    result = backtest(history.market, history.signals, weights, rules_of(config), CAPITAL, WARM_UP, stop)
    equity = result.days["equity"]
    returns = equity[1:] / equity[:-1] - 1.0
    names = {HALTED: "halt", RELEASED: "release"}
    days = zip(history.sessions[WARM_UP:], result.days["event"], strict=True)
    return Replay(
        allocation=allocation,
        release=config.halt_release,
        limit=config.max_drawdown_pct / 100.0,
        annual_return=annual_return(returns),
        sharpe=sharpe_ratio(returns),
        volatility=volatility(returns),
        max_drawdown=worst_drawdown(returns).depth,
        exposure=float(result.days["exposure"].mean()),
        halted_sessions=int(result.days["halted"].sum()),
        events=[(day, names[event]) for day, event in days if event in names],
        denials={code.value: int(n) for code, n in zip(DENIAL_CODES, result.denials, strict=True) if n},
    )


# ---------------------------------------------------------------- audit


def audit(
    history: History, weights: Floats, config: RiskConfig, stop: int, judged_by: RiskConfig | None = None
) -> tuple[int, list[str]]:
    """Step through the history and recompute every cap of every entry from prices; return (entries, violations).

    The caps are those of `config`, or of another configuration `judged_by`: the audit's own negative control.
    """
    caps = limits_of((judged_by or config).to_dict())
    rules = rules_of(config)
    books = open_books(1, config.max_positions, len(weights), len(history.panel.tickers), CAPITAL)
    log, shadow_log = new_fill_log(1_000), new_fill_log(0)
    denials, scratch = np.zeros(N_CODES, dtype=np.int64), new_scratch(len(history.names), rules.limits.max_reviews)
    entries, violations = 0, []
    for t in range(WARM_UP, stop):
        log.used[0] = 0
        process_session(books, 0, history.market, t, rules, log, shadow_log)
        decide_books(books, 0, history.market, history.signals, t, weights, rules, scratch, denials)
        found = list(broken_caps(history, books, t, caps))
        entries += int(np.sum(books.slots[0]["pending"] > 0.0))
        violations += [f"{history.sessions[t]} {line}" for line in found]
    return entries, violations


def broken_caps(history: History, books: Books, t: int, limits: Limits) -> Iterator[str]:
    """Yield what the entries decided at row `t` break, recomputed in numpy from the panel."""
    slots = books.slots[0][books.slots[0]["ticker"] >= 0]
    new = slots[slots["pending"] > 0.0]
    if len(new) == 0:
        return
    account, columns = books.accounts[0], slots["ticker"]
    equity = float(account["equity"])
    dollars = slots["quantity"] * slots["price"] + slots["pending"] * slots["limit_price"]
    vix = history.panel.vix[: t + 1]
    last_vix = vix[np.isfinite(vix)][-1]
    cap = limits.max_position * min(1.0, limits.vix_threshold / last_vix) * equity
    sectors = np.array(history.panel.sectors)[columns]
    if account["halted"] or 1.0 - equity / account["peak_equity"] > limits.max_drawdown + 1e-12:
        yield "entry while halted or in breach"
    if 1.0 - equity / account["previous_equity"] > limits.max_daily_loss + 1e-12:
        yield "entry after the day's loss"
    if history.market.clock[t] < account["pause_until"]:
        yield "entry during a pause"
    if len(slots) > limits.max_positions:
        yield f"{len(slots)} positions"
    if dollars.sum() > limits.max_exposure * equity + HALF_CENT * len(slots):
        yield f"exposure {dollars.sum() / equity:.4%}"
    if np.sum(new["pending"] * new["limit_price"]) > account["cash"] + HALF_CENT:
        yield "cash"
    close = history.panel.close[t - limits.correlation_window : t + 1, columns]
    returns = close[1:] / close[:-1] - 1.0
    for i in np.flatnonzero(slots["pending"] > 0.0):
        if dollars[i] > cap + HALF_CENT:
            yield f"position {dollars[i] / equity:.4%}"
        if dollars[sectors == sectors[i]].sum() > limits.max_sector * equity + HALF_CENT * len(slots):
            yield f"sector {sectors[i]}"
        for j in range(len(slots)):
            is_new = slots["quantity"][i] == 0.0  # a position may grow whatever has come beside it
            if (
                j != i
                and is_new
                and not np.corrcoef(returns[:, i], returns[:, j])[0, 1] <= limits.max_correlation + 1e-9
            ):
                yield f"correlation of {columns[i]} and {columns[j]}"


# ---------------------------------------------------------------- results


def allocations(history: History) -> dict[str, Floats]:
    """Return the splits of capital that are compared: all strategies equally, and each alone."""
    k = len(history.names)
    found = {"equal weight": np.full(k, 1.0 / k)}
    return found | {name: np.eye(k)[i] for i, name in enumerate(history.names)}


def compare(history: History) -> list[Replay]:
    """Replay every allocation at the default limit and at half of it, with every release and without a halt."""
    found = []
    for limit in (10.0, 5.0):
        for name, weights in allocations(history).items():
            for release in RELEASES:
                config = RiskConfig(max_drawdown_pct=limit, recovery_drawdown_pct=limit / 2.0, halt_release=release)  # type: ignore[arg-type] # one of RELEASES
                found.append(replay(history, name, weights, config))
            free = RiskConfig(max_drawdown_pct=99.0, recovery_drawdown_pct=98.0)
            found.append(replay(history, name, weights, free))
    return found


def document(history: History, replays: list[Replay], audits: list[tuple[str, int, list[str]]]) -> str:
    """Return docs/results-risk.md."""
    first, last = history.sessions[WARM_UP], history.sessions[-1]
    lines = [
        "# Risk rules on real history",
        "",
        "Written by `python -m benchmarks.halt_release FOLDER --write`.",
        f"{history.panel.n_tickers} US stocks, {first} to {last}, {len(history.sessions) - WARM_UP} sessions,",
        "costs on, capital $100,000. The stocks are those that still traded at the end (survivorship): compare rows",
        "with each other, not with an index.",
        "",
        "## Ways out of the drawdown halt",
        "",
        "`shadow` = the same decisions continued on paper have recovered; `equity` = the account itself has; `manual` ="
        " never here, since no operator sits in a replay; `none` = no halt; `any` = no halt came, so that all are the"
        " same. Drawdown is from the highest equity ever. A halt keeps new risk out and sells nothing, and each release"
        " begins with a new peak; one and a half times the limit from the highest equity ever, which only an operator"
        " ends (here: nobody), bounds a fall over several halts.",
        "",
        "| allocation | limit | release | return/y | Sharpe | volatility | max drawdown | exposure | sessions halted |"
        " halts | releases |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for item in replays:
        free = item.limit > 0.5
        halts = sum(event == "halt" for _, event in item.events)
        if not halts and not free and item.release != "shadow":
            continue
        release = "none" if free else item.release if halts else "any"
        lines.append(
            f"| {item.allocation} | {'' if free else f'{item.limit:.0%}'} | {release} |"
            f" {item.annual_return:.2%} | {item.sharpe:.2f} | {item.volatility:.1%} | {item.max_drawdown:.1%} |"
            f" {item.exposure:.0%} | {item.halted_sessions} | {halts} | {len(item.events) - halts} |"
        )
    lines += ["", "## Halts and releases (release by the shadow)", ""]
    for item in replays:
        if item.release == "shadow" and item.limit < 0.5 and item.events:
            dates = ", ".join(f"{event} {day}" for day, event in item.events)
            lines.append(f"- {item.allocation}, limit {item.limit:.0%}: {dates}")
    lines += ["", "## Refusals (equal weight, default limits)", "", "| code | times |", "|---|---:|"]
    lines += [f"| `{code}` | {n} |" for code, n in replays[0].denials.items()]
    lines += [
        "",
        "A closed gate counts once a session; `OK` counts entries.",
        "",
        "## Audit of every entry",
        "",
        "After each decision, positions, pending orders, sectors, cash, VIX and correlations are recomputed in numpy",
        "from the panel and compared with the limits.",
        "",
        "| allocation | entries | beyond a cap |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {entries} | {len(found)} |" for name, entries, found in audits]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Replay, audit, print, and write the document when asked."""
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m benchmarks.halt_release FOLDER [--write]")
    history = load(Path(sys.argv[1]))
    replays = compare(history)
    audits = [
        (name, *audit(history, weights, RiskConfig(), len(history.sessions)))
        for name, weights in allocations(history).items()
    ]
    text = document(history, replays, audits)
    print(text)
    for name, _, found in audits:
        for line in found[:10]:
            print("VIOLATION", name, line)
    if "--write" in sys.argv:
        (Path(__file__).parents[1] / "docs" / "results-risk.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
