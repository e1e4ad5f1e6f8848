"""What the strategies and equal weight earned on a real history, by cost, beside holding the market.

Run: python -m benchmarks.results FOLDER [--start 2001-01-02] [--end 2017-12-29] [--write]

The grid is run by the kernel; the engine's replay equals it to the cent (tests/parity), and one row is run through the
engine's command to show it. ``--write`` puts the tables into docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from risk_config import RiskConfig
from trading_platform.core import metrics
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.market import build_market, build_signals
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.simulate import Backtest, backtest
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.registry import FIRST_SET, make_strategies

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "results.md"
RISK = ROOT / "docs" / "results-risk.md"
COSTS = (5.0, 10.0, 20.0)
CAPITAL = 100_000.0
CAVEATS = """\
**Read this first.** Every stock here still traded at the end of the history (survivorship), so all long-only figures
are too good; compare strategies with the *equal-weight universe*, never with SPY alone. Prices are split- and
dividend-adjusted. The parameters of the strategies are textbook ones, but the choice of strategies was made while
looking at this very history: these are in-sample figures, not a promise. These are the first six strategies; the
default set is judged in strategies.md. The default limits (5 % a position, 10 positions) leave most of the capital in
cash, which earns nothing in the tables; their Sharpe ratios are plain, not over bills, and can be compared across
exposures, returns cannot. Single paths are sensitive: a slightly different weighting or universe moves a Sharpe ratio
by 0.1.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2001, 1, 2))
    parser.add_argument("--end", type=date.fromisoformat, default=date(2017, 12, 29))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = report(given.folder, given.start, given.end)
    if given.write:
        DOCUMENT.write_text(text)
    print(text)
    return 0


def report(folder: Path, start: date, end: date) -> str:
    """Return the whole document."""
    panel = FilesMarketData(folder).history(end=end)
    first = int(np.searchsorted(panel.sessions, np.datetime64(start, "D")))
    strategies = make_strategies(FIRST_SET)
    names = [strategy.name for strategy in strategies]
    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    market = build_market(panel, NyseCalendar().exchange_seconds(panel.sessions), rules.limits.correlation_window)
    signals = build_signals(prepare_signals(panel, strategies))
    splits = {name: np.eye(len(names))[k] for k, name in enumerate(names)}
    splits["equal weight"] = np.full(len(names), 1.0 / len(names))
    rows, returns = [], {}
    for cost in COSTS:
        costs = CostConfig(half_spread_bps=cost / 2.0, slippage_bps=cost / 2.0).rates()
        for name, weights in splits.items():
            done = backtest(market, signals, weights, rules._replace(costs=costs), CAPITAL, first, panel.n_sessions)
            daily = daily_returns(done)
            rows.append([name, f"{cost:g}", *figures(daily), *activity(done)])
            if cost == COSTS[0]:
                returns[name] = daily
    holding = [[name, "0", *figures(daily), "100 %", "", "", "0"] for name, daily in benchmarks(panel, first).items()]
    head = [
        "book",
        "cost, bp",
        "Sharpe",
        "return a year",
        "volatility",
        "max drawdown",
        "exposure",
        "turnover a year",
        "trades",
        "halted sessions",
    ]
    sessions = panel.n_sessions - first
    return "\n".join(
        [
            "# Results on real history",
            "",
            f"Written by `python -m benchmarks.results FOLDER --write` (`make results`): {panel.n_tickers} US stocks, "
            f"{panel.session(first)} to {panel.session(panel.n_sessions - 1)}, {sessions} sessions, ${CAPITAL:,.0f}, "
            "conservative limits, next-open fills, every cost and every rule on.",
            "",
            CAVEATS,
            "## Each strategy alone (weight 1) and equal weight, by one-way cost (half spread + slippage; impact and "
            "fees on top)",
            "",
            table(head, rows),
            "",
            "## Holding the market over the same sessions, no costs",
            "",
            table(head, holding),
            "",
            "## Correlation of daily returns, 5 bp",
            "",
            correlations(returns),
            "",
            "## The engine's own replay",
            "",
            engine_row(folder, start, end),
            "",
            *risk_section(),
            "What the RL allocator adds or does not: [rl-evaluation.md](rl-evaluation.md).",
            "",
        ]
    )


def risk_section() -> list[str]:
    """Return the comparison of ways out of a drawdown halt, as benchmarks.halt_release has written it."""
    more = "Dates of halts and releases, and the audit of every entry: [results-risk.md](results-risk.md)."
    if not RISK.is_file():
        return [more]
    _, _, rest = RISK.read_text().partition("\n## ")
    section, _, _ = rest.partition("\n## ")
    return ["## " + section.strip(), "", more]


def daily_returns(done: Backtest) -> Floats:
    """Return the book's daily returns, (n,)."""
    equity = np.concatenate(([CAPITAL], done.days["equity"]))
    return equity[1:] / equity[:-1] - 1.0


def figures(daily: Floats) -> list[str]:
    """Return Sharpe ratio with its standard error, annual return, volatility and drawdown as text."""
    sharpe = float(metrics.sharpe_ratio(daily))
    error = np.sqrt((1.0 + 0.5 * sharpe**2 / ANNUAL_SESSIONS) / (len(daily) / ANNUAL_SESSIONS))
    return [
        f"{sharpe:.2f} ± {error:.2f}",
        f"{metrics.annual_return(daily):.2%}",
        f"{daily.std() * np.sqrt(ANNUAL_SESSIONS):.1%}",
        f"{metrics.max_drawdown(daily):.1%}",
    ]


def activity(done: Backtest) -> list[str]:
    """Return exposure, turnover, round trips and halted sessions as text."""
    years = len(done.days) / ANNUAL_SESSIONS
    turnover = done.fills["amount"].sum() / done.days["equity"].mean() / years
    trades = int(done.fills["closed"].sum())
    return [f"{done.days['exposure'].mean():.0%}", f"{turnover:.1f}", str(trades), str(int(done.days["halted"].sum()))]


def benchmarks(panel: MarketPanel, first: int) -> dict[str, Floats]:
    """Return daily returns of SPY and of the universe, rebalanced daily and bought once."""
    daily = panel.close[first:] / panel.close[first - 1 : -1] - 1.0
    held = panel.close[first - 1 :] / panel.close[first - 1]
    index = np.nanmean(held, axis=1)
    spy = panel.benchmark[first:] / panel.benchmark[first - 1 : -1] - 1.0
    return {
        "SPY, bought and held": spy,
        "equal-weight universe, rebalanced daily": np.nanmean(daily, axis=1),
        "equal-weight universe, bought and held": index[1:] / index[:-1] - 1.0,
    }


def correlations(returns: dict[str, Floats]) -> str:
    """Return the correlation matrix as a table."""
    names = list(returns)
    matrix = np.corrcoef([returns[name] for name in names])
    rows = [[name, *(f"{matrix[i, j]:.2f}" for j in range(len(names)))] for i, name in enumerate(names)]
    return table(["", *names], rows)


def engine_row(folder: Path, start: date, end: date) -> str:
    """Run the engine's command over the same sessions and return what it says."""
    with tempfile.TemporaryDirectory() as home:
        command = [
            sys.executable,
            str(ROOT / "autonomous_trading_engine.py"),
            "--data-dir",
            str(folder.resolve()),
            "--start",
            start.isoformat(),
            "--end",
            end.isoformat(),
            "--allocation",
            "equal",
            "--json",
            "--db",
            "r.db",
            "--no-page",
        ]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return (
        "`python autonomous_trading_engine.py --data-dir FOLDER --start ... --end ... --allocation equal --json`: "
        f"the default set, final equity ${result['final_equity']:,.2f}, Sharpe over bills {result['sharpe']:.2f}, "
        f"{result['annual_return']:.2%} a year, drawdown {result['max_drawdown']:.1%}, exposure "
        f"{result['avg_exposure']:.0%}, {result['trades']} trades, {result['fills']} fills, "
        f"fees ${result['fees']:,.2f}, "
        f"denials {result['denials']}."
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
