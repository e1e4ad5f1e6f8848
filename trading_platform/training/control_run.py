"""A run of the controls: the market whose books are shuffled, workers, the file, the table in the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.session import Rules
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.load_panel import load_panel, with_cash_rate
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.strategies.registry import active_strategies
from trading_platform.training.controls import (
    ControlResult,
    ControlTask,
    all_tasks,
    run_control,
    run_missing,
    table,
    version_of,
)
from trading_platform.training.preparation import prepared_whole
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import rules_at_cost
from trading_platform.work.job import Job, Place
from trading_platform.work.map_tasks import workers

SYNTHETIC, REAL = "a synthetic market", "real bars"
# Twelve years and a half of sixty stocks: as long as the real history is after its first two years.
MARKET_SEED, TICKERS, SESSIONS = 101, 60, 3150
BEGIN, END = "<!-- controls: written by train_rl_model.py controls -->", "<!-- /controls -->"


def control_market(
    config: TradingConfig, settings: Settings, rules: Rules, setup: TrainingSetup
) -> tuple[PreparedMarket, str]:
    """Return the market that books and features are taken from, and its name in the table."""
    calendar, is_real = exchange_calendar(config.data), config.data.source != "synthetic"
    if is_real:
        panel = load_panel(config, settings, calendar, None, None)
    else:
        history = SyntheticMarketData(MARKET_SEED, n_tickers=TICKERS, n_sessions=SESSIONS).history()
        panel = with_cash_rate(history, config.cash)
    strategies, _ = active_strategies(configured_strategies(config), panel)
    clock = calendar.exchange_seconds(panel.sessions.tolist())
    costs = rules_at_cost(rules, setup.cost_bps)
    return prepared_whole(panel, strategies, clock, config, settings, costs), REAL if is_real else SYNTHETIC


def run_controls(
    market: tuple[PreparedMarket, str],
    setup: TrainingSetup,
    seeds: range,
    state: Path,
    place: Place,
    line: Callable[[str], None],
) -> list[ControlResult]:
    """Run what the file does not hold yet, telling `line` of each world; return everything in the file."""
    template, name = market
    version = version_of(setup, template)

    def work(missing: Sequence[ControlTask]) -> Iterator[ControlResult]:
        for number, result in enumerate(spread(missing, template, setup, place), start=1):
            found = "found" if result.admitted else "refused"
            line(
                f"{number} of {len(missing)}: {result.task.kind}, {result.task.seed}: {found}, gain "
                f"{result.gain:+.2f} of {result.best_gain:+.2f}, volatility {result.volatility:.2f} "
                f"of {result.best_volatility:.2f}"
            )
            yield result

    return run_missing(all_tasks(seeds, setup.algo, name), state, version, work)


def spread(
    tasks: Sequence[ControlTask], template: PreparedMarket, setup: TrainingSetup, place: Place
) -> Iterator[ControlResult]:
    """Yield results as they are done, wherever they are; what they are does not depend on it."""
    identity = version_of(setup, template)
    job = Job("control", _work, Lab(template, setup), identity, (ControlResult, ControlTask))
    with workers(job, place) as opened:
        for _, result in opened.map(tasks):
            yield result


@dataclass(frozen=True, slots=True)
class Lab:
    """What all controls of a run share."""

    template: PreparedMarket
    setup: TrainingSetup


def shadow_books(worlds: Sequence[PreparedMarket], n_envs: int, options: EpisodeOptions) -> Any:
    """Return episodes on the strategies' own books; the packages of training are loaded when it is called."""
    from trading_platform.training.shadow_env import ShadowBookEnv

    return ShadowBookEnv(worlds, n_envs, options)


def _work(lab: Lab, task: ControlTask) -> ControlResult:
    return run_control(task, lab.template, lab.setup, lab.setup.usual_seeds, shadow_books)


def write_page(page: Path, results: Sequence[ControlResult]) -> None:
    """Replace the part of the page between its marks by the table of all results, with the day."""
    text = page.read_text()
    head, rest = text.split(BEGIN)
    told = "\n".join([f"{len(results):,} worlds, {utc_now().date()}.", "", *table(results)])
    page.write_text(f"{head}{BEGIN}\n\n{told}\n\n{END}{rest.split(END)[1]}")
