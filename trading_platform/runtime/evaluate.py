"""The `evaluate` command: the configured book on many random universes, told as a table or as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.engine.trading_rules import rules_of
from trading_platform.evaluation.book_statistics import BookFigures
from trading_platform.evaluation.evaluate import (
    BookRun,
    EvaluateSettings,
    PaperSide,
    UniverseRun,
    Yardsticks,
    judge_universe,
    traded_rows,
    yardsticks_of,
)
from trading_platform.evaluation.evaluate_document import document, table
from trading_platform.evaluation.growth import Growth, growth
from trading_platform.evaluation.kernel_book import KernelBook
from trading_platform.evaluation.universes import draw_universe
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.market_data.exchange import exchange_of_source
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.reporting.evaluate_page import render_evaluate_page
from trading_platform.reporting.market_words import in_currency
from trading_platform.reporting.status_screen import complain
from trading_platform.runtime.book_and_bars import book_and_bars
from trading_platform.runtime.causality import refuse_lookahead
from trading_platform.runtime.replay_page import show_page
from trading_platform.runtime.trade_settings import TradeOptions
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.registry import DEFAULT_SET, DEFAULT_SET_TRIALS
from trading_platform.work.job import Job, Place
from trading_platform.work.map_tasks import workers
from trading_platform.work.result_files import ResultFiles

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
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every worker has: nothing of it travels with a task, which is the number of a universe."""

    panel: MarketPanel
    strategies: Sequence[AnyStrategy]
    book: KernelBook
    yardsticks: Yardsticks
    start: int
    settings: EvaluateSettings


def judged_universe(bench: Bench, number: int) -> UniverseRun:
    """Draw one universe and judge the book on it."""
    settings = bench.settings
    universe = draw_universe(bench.panel, number, settings.universe_size, settings.seed, bench.start)
    return judge_universe(universe, bench.strategies, bench.book, bench.yardsticks, bench.start, settings)


def evaluate(options: EvaluateOptions) -> int:
    """Judge the configured book; print the result; return the exit code."""
    trade = options.trade
    settings, config, strategies, panel, shown = book_and_bars(trade, options.end)
    unfinished = settings.cache_dir / "unfinished"
    result, grown = judged(options, config, strategies, panel, shown=shown, unfinished=unfinished)
    page = _written_page(result, grown, panel.source) if trade.page else None
    if page is not None and trade.opens:
        show_page(page)
    if trade.json:
        sys.stdout.write(json.dumps(result | {"page": None if page is None else str(page)}) + "\n")
        return 0
    sys.stdout.write(in_currency(table(result), panel.source) + ("" if page is None else f"\n\npage: {page}") + "\n")
    return 0


def judged(
    options: EvaluateOptions,
    config: TradingConfig,
    strategies: Sequence[AnyStrategy],
    panel: MarketPanel,
    *,
    shown: bool,
    unfinished: Path | None = None,
) -> tuple[dict[str, Any], Growth]:
    """Return the judgement of a book over `panel` as JSON values, and what its page draws; `shown` tells how far it is.

    Universes that are judged wait in a folder below `unfinished` until all are, so that a run that was killed goes on.

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
    refuse_lookahead(strategies, cut, config)
    draw_universe(cut, 0, asked.universe_size, asked.seed, start)  # too few stocks are told before anything begins
    book = KernelBook(
        strategies,
        rules_of(config),
        config.engine.initial_capital,
        exchange_calendar(config.data).exchange_seconds,
        config.engine.fills,
        "rules" if config.allocator.policy == "rules" else "equal",
    )
    bench = Bench(cut, strategies, book, yardsticks_of(cut, start), start, asked)
    runs = sorted(_judged(bench, config, options.place, unfinished, shown=shown), key=lambda run: run.number)
    market = {"market": panel.source, "currency": exchange_of_source(panel.source).currency}
    return document(bench.yardsticks, runs, asked) | market, growth(bench.yardsticks, runs)


def _written_page(result: dict[str, Any], grown: Growth, source: str) -> Path | None:
    """Write the page whole or not at all; return where it is, None where it cannot be written, which is said."""
    path = REPORTS / f"evaluate-{result['start']}-{result['end']}-seed{result['seed']}.html"
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(render_evaluate_page(result, grown, source), encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        complain(f"no page: {path}: {error.strerror or error}")
        return None
    return path


def _judged(
    bench: Bench, config: TradingConfig, place: Place, unfinished: Path | None, *, shown: bool
) -> list[UniverseRun]:
    """Return every universe judged, in the order in which they were done."""
    own = [f"{item!r} {getattr(item, 'digest', '')}" for item in bench.strategies]
    asked = repr(replace(bench.settings, universes=0))  # more of them are the same ones, and more
    parts = (config.fingerprint, bench.panel.data_hash, repr(bench.panel.close.shape), asked, *own)
    identity = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    kinds = (UniverseRun, BookRun, BookFigures, PaperSide)
    job = Job("universe", judged_universe, bench, identity, kinds, key=_key, start="fork")
    files = None if unfinished is None else ResultFiles(unfinished / f"evaluate-{identity}", kinds)

    def progress(done: int, count: int) -> None:
        sys.stderr.write(f"universe {done} of {count}\n")
        sys.stderr.flush()

    runs: list[UniverseRun] = []
    try:
        with workers(job, place, files) as opened:
            for _, run in opened.map(range(bench.settings.universes), progress if shown else None):
                runs.append(run)
    except KeyboardInterrupt:
        if files is None:  # from Python, where whoever interrupts knows what is lost
            raise
        raise StoppedNowError(_left_behind(len(runs), bench.settings.universes)) from None
    if files is not None:
        files.clear()
    return runs


def _left_behind(done: int, count: int) -> str:
    """Return what a run that was stopped leaves behind."""
    if done:
        return f"Stopped after {done} of {count} universes; they are kept, and the same command goes on."
    return "Stopped before a universe was judged; nothing has changed, the same command starts again."


def _key(number: int) -> str:
    return str(number)
