"""The `evaluate` command: the configured book on many random universes, told as a table or as JSON."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.evaluate import (
    EvaluateSettings,
    UniverseRun,
    Yardsticks,
    judge_universe,
    traded_rows,
    yardsticks_of,
)
from trading_platform.evaluation.evaluate_document import document, table
from trading_platform.evaluation.growth import Growth, growth
from trading_platform.evaluation.kernel_book import KernelBook
from trading_platform.evaluation.universes import Universe, draw_universes
from trading_platform.machine.first_compile import tell_compiling
from trading_platform.market_data.load_panel import load_panel
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.reporting.evaluate_page import render_evaluate_page
from trading_platform.reporting.status_screen import complain
from trading_platform.reporting.waiting import tell, waiting
from trading_platform.runtime.causality import refuse_lookahead
from trading_platform.runtime.trade_settings import TradeOptions, enabled_strategies, read_config
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.registry import DEFAULT_SET, DEFAULT_SET_TRIALS

MOST_UNIVERSES = 1000
REPORTS = Path("reports")  # where pages go


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What is asked on the command line."""

    trade: TradeOptions
    start: date | None
    end: date | None
    universes: int
    universe_size: int
    seed: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Task:
    """What every worker has from its birth: nothing of it travels with a task."""

    universes: Sequence[Universe]
    strategies: Sequence[AnyStrategy]
    book: KernelBook
    yardsticks: Yardsticks
    start: int
    settings: EvaluateSettings

    def judge(self, number: int) -> UniverseRun:
        """Judge one universe."""
        return judge_universe(
            self.universes[number], self.strategies, self.book, self.yardsticks, self.start, self.settings
        )


def evaluate(options: EvaluateOptions) -> int:
    """Judge the configured book; print the result; return the exit code."""
    trade = options.trade
    settings = load_settings()
    config = read_config(trade, settings)
    strategies = enabled_strategies(config, trade.config)
    shown = not (trade.json or trade.quiet)
    if shown:
        tell_compiling(tell)
    with waiting("reading bars", shown=shown, in_pipes=False):
        panel = load_panel(config, settings, exchange_calendar(config.data), None, options.end)
    result, grown = judged(options, config, strategies, panel, shown=shown)
    page = _written_page(result, grown)
    if trade.json:
        sys.stdout.write(json.dumps(result | {"page": None if page is None else str(page)}) + "\n")
        return 0
    sys.stdout.write(table(result) + ("" if page is None else f"\n\npage: {page}") + "\n")
    return 0


def judged(
    options: EvaluateOptions,
    config: TradingConfig,
    strategies: Sequence[AnyStrategy],
    panel: MarketPanel,
    *,
    shown: bool,
) -> tuple[dict[str, Any], Growth]:
    """Return the judgement of a book over `panel` as JSON values, and what its page draws; `shown` tells how far it is.

    Raises
    ------
    FixConfigError
        Universes or sessions that are too few or too many.
    """
    if not 1 <= options.universes <= MOST_UNIVERSES:
        raise FixConfigError(f"--universes must be in [1, {MOST_UNIVERSES}], was {options.universes}")
    if options.universe_size < 5:
        raise FixConfigError(f"--universe-size must be at least 5 stocks, was {options.universe_size}")
    names = tuple(strategy.name for strategy in strategies)
    rules = Rules(
        limits_of(RiskConfig.from_mapping(config.risk).to_dict()),
        config.exits.rates(),
        config.costs.rates(),
        config.sizing.rates(),
    )
    asked = EvaluateSettings(
        start=options.start,
        end=options.end,
        universes=options.universes,
        universe_size=options.universe_size,
        cost_bps=config.costs.half_spread_bps + config.costs.slippage_bps,
        fills=config.engine.fills,
        seed=options.seed,
        n_trials=DEFAULT_SET_TRIALS if names == DEFAULT_SET else 1,
    )
    cut, start = traded_rows(panel, asked)
    refuse_lookahead(strategies, cut)
    universes = draw_universes(cut, asked.universes, asked.universe_size, asked.seed, start)
    book = KernelBook(
        strategies,
        rules,
        config.engine.initial_capital,
        exchange_calendar(config.data).exchange_seconds,
        config.engine.fills,
        "rules" if config.allocator.policy == "rules" else "equal",
    )
    task = Task(universes, strategies, book, yardsticks_of(cut, start), start, asked)
    runs = sorted(_judged(task, options.jobs, shown=shown), key=lambda run: run.number)
    return document(task.yardsticks, runs, asked), growth(task.yardsticks, runs)


def _written_page(result: dict[str, Any], grown: Growth) -> Path | None:
    """Write the page whole or not at all; return where it is, None where it cannot be written, which is said."""
    path = REPORTS / f"evaluate-{result['start']}-{result['end']}-seed{result['seed']}.html"
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(render_evaluate_page(result, grown), encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        complain(f"no page: {path}: {error.strerror or error}")
        return None
    return path


_TASK: Task | None = None  # of a worker, from the fork that made it


def _judge(number: int) -> UniverseRun:
    if _TASK is None:
        raise RuntimeError("a worker without its task")
    return _TASK.judge(number)


def _judged(task: Task, jobs: int, *, shown: bool) -> Iterator[UniverseRun]:
    """Yield every universe judged, as they are done; in this process where others cannot be forked."""
    global _TASK  # forked workers have it without its travelling
    numbers = range(len(task.universes))
    if jobs < 2 or "fork" not in multiprocessing.get_all_start_methods():
        for number in numbers:
            _tell(number, len(numbers), shown=shown)
            yield task.judge(number)
        return
    _TASK = task
    yield task.judge(0)  # compiles what the workers then find in the cache
    with ProcessPoolExecutor(min(jobs, len(numbers)), multiprocessing.get_context("fork")) as pool:
        waiting_for = [pool.submit(_judge, number) for number in numbers[1:]]
        for n, done in enumerate(as_completed(waiting_for), start=1):
            _tell(n, len(numbers), shown=shown)
            yield done.result()


def _tell(done: int, count: int, *, shown: bool) -> None:
    if shown:
        sys.stderr.write(f"universe {done + 1} of {count}\n")
        sys.stderr.flush()
