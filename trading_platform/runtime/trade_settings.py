"""The trading command's options, and the settings that they and the settings file come to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.toml_tables import line_numbers, located
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config, machine_overrides
from trading_platform.core import validation
from trading_platform.core.action_map import SUM_NOISE
from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import InvalidSettingsError
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.registry import STRATEGIES


@dataclass(frozen=True, slots=True)
class TradeOptions:
    """Options of the engine's main command, as given: None and empty mean not given.

    `command` is the word before them: none, ``trade`` or ``replay``. `start` and `end` are sessions that are traded,
    `fetch_from` and `fetch_to` bound the bars that are read. `page` writes a page at the end of a replay, `opens` shows
    it.
    """

    command: str = ""
    data_dirs: tuple[Path, ...] = ()
    tickers: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None
    fetch_from: date | None = None
    fetch_to: date | None = None
    capital: float | None = None
    seed: int | None = None
    database: str | None = None
    config: Path | None = None
    cost_bps: float | None = None
    fills: str | None = None
    vix: str | None = None
    allocation: str | None = None
    source: str | None = None
    once: bool = False
    live: bool = False
    json: bool = False
    quiet: bool = False
    page: bool = False
    opens: bool = False

    def replay_options(self) -> list[str]:
        """Return the names of the options given that only a replay knows."""
        given = {
            "--data-dir": self.data_dirs,
            "--start": self.start,
            "--end": self.end,
            "--from": self.fetch_from,
            "--to": self.fetch_to,
            "--capital": self.capital,
            "--seed": self.seed,
            "--cost-bps": self.cost_bps,
            "--fills": self.fills,
        }
        return [name for name, value in given.items() if value is not None and value != ()]


def same_place(database: str | None, config: Path | None) -> str:
    """Return ``--db`` and ``--config`` as they were given, for the next command; empty or with a space before it."""
    words = [f" --db {shlex.quote(database)}"] if database is not None else []
    words += [f" --config {shlex.quote(str(config))}"] if config is not None else []
    return "".join(words)


def parse_allocation(text: str | None, strategies: tuple[str, ...]) -> dict[str, float] | None:
    """Return the weights that ``--allocation`` asks for: a strategy's name, ``equal``, or name=weight pairs.

    Raises
    ------
    FixConfigError
        Unknown strategy, a weight that is no number >= 0, or weights that do not sum to 1.
    """
    if text is None:
        return None
    if text == "equal":
        return dict.fromkeys(strategies, 1.0 / len(strategies))
    weights = dict.fromkeys(strategies, 0.0)
    for part in text.split(","):
        name, sign, number = (piece.strip() for piece in part.partition("="))
        if name not in weights:
            raise FixConfigError(
                f"--allocation: {name!r} is no enabled strategy{validation.did_you_mean(name, strategies)}; "
                f"enabled are {', '.join(strategies)}"
            )
        try:
            weights[name] = float(number) if sign else 1.0
        except ValueError as error:
            raise FixConfigError(f"--allocation: {part!r}: the weight must be a number in [0, 1]") from error
    if (
        not all(0.0 <= weight <= 1.0 for weight in weights.values())
        or not abs(sum(weights.values()) - 1.0) <= SUM_NOISE
    ):
        raise FixConfigError(f"--allocation: weights must be in [0, 1] and sum to 1, were {weights}")
    return weights


def read_config(options: TradeOptions, settings: Settings) -> TradingConfig:
    """Return the settings file's configuration with this machine's and the command line's words over it.

    Raises
    ------
    FixConfigError
        The file or an option is wrong, or two options contradict each other.
    """
    return load_config(config_path(options.config), config_overrides(options, settings))


def config_overrides(options: TradeOptions, settings: Settings) -> dict[str, object]:
    """Return what this machine and the command line say about configuration, by dotted name."""
    half = None if options.cost_bps is None else options.cost_bps / 2.0
    source = options.source or ("files" if options.data_dirs else None)
    overrides: dict[str, object] = {
        **machine_overrides(settings),
        "data.source": source,
        "data.folder": [str(folder) for folder in options.data_dirs] or None,
        "data.vix": options.vix,
        "universe.tickers": options.tickers or None,
        "engine.initial_capital": options.capital,
        "engine.seed": options.seed,
        "engine.fills": options.fills,
        "costs.half_spread_bps": half,
        "costs.slippage_bps": half,
    }
    if options.database is not None:
        overrides["storage.database_url"] = options.database
    return overrides


def enabled_strategies(config: TradingConfig, path: Path | None) -> tuple[AnyStrategy, ...]:
    """Return the enabled strategies with their parameters.

    Raises
    ------
    InvalidSettingsError
        Unknown strategies and parameters and wrong values, each with the file's line and with what there is.
    """
    try:
        return configured_strategies(config)
    except InvalidSettingsError as error:
        file = config_path(path)
        lines = {} if file is None else line_numbers(file.read_text(encoding="utf-8"))
        raise InvalidSettingsError(_in_file(line, file, lines) for line in error.problems) from error


def _in_file(line: str, file: Path | None, lines: Mapping[str, int]) -> str:
    """Return a problem of the strategies with its place and, where nothing is near what was written, all there is."""
    name, _, key = line.partition(" ")[0].removeprefix("strategies.").partition(".")
    if " is no parameter" in line and "did you mean" not in line and name in STRATEGIES:
        known = [parameter for parameter in validation.type_hints(STRATEGIES[name]) if parameter != "name"]
        line = f"{line}; {name} has {', '.join(known)}"
    if file is None:
        return line
    if not key and "strategies.enabled" in lines:
        return f"{file}:{lines['strategies.enabled']}: {line}"
    return located(line, file, lines, {})


def check_days(options: TradeOptions) -> None:
    """Raise where two of the days given contradict each other.

    Raises
    ------
    FixConfigError
        A last day lies before a first one.
    """
    first, last = options.start, options.end
    if first is not None and last is not None and last < first:
        raise FixConfigError(f"--end {last} lies before --start {first}")
    first, last = options.fetch_from, options.fetch_to
    if first is not None and last is not None and last < first:
        raise FixConfigError(f"--to {last} lies before --from {first}")
    if options.start is not None and last is not None and last < options.start:
        raise FixConfigError(f"--to {last} lies before --start {options.start}: no bars would be left to trade")
    if options.end is not None and last is not None and last < options.end:
        raise FixConfigError(f"--to {last} lies before --end {options.end}: the last sessions would have no bars")
    if options.start is not None and first is not None and options.start < first:
        raise FixConfigError(f"--start {options.start} lies before --from {first}: its session would have no bars")
