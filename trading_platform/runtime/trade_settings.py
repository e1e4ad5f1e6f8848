"""The trading command's options, and the settings that they and the settings file come to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config, machine_overrides
from trading_platform.core import validation
from trading_platform.core.errors import FixConfigError


@dataclass(frozen=True, slots=True)
class TradeOptions:
    """Options of the engine's main command, as given: None means not given."""

    data_dir: Path | None
    tickers: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    capital: float | None
    seed: int | None
    database: str | None
    config: Path | None
    cost_bps: float | None
    allocation: str | None
    source: str | None
    once: bool
    live: bool
    json: bool
    quiet: bool


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
                f"--allocation: {name!r} is no enabled strategy{validation.did_you_mean(name, strategies)}"
            )
        try:
            weights[name] = float(number) if sign else 1.0
        except ValueError as error:
            raise FixConfigError(f"--allocation: {part!r}: the weight must be a number in [0, 1]") from error
    if not all(0.0 <= weight <= 1.0 for weight in weights.values()) or not abs(sum(weights.values()) - 1.0) < 1e-9:
        raise FixConfigError(f"--allocation: weights must be in [0, 1] and sum to 1, were {weights}")
    return weights


def read_config(options: TradeOptions, settings: Settings) -> TradingConfig:
    """Return the settings file's configuration with this machine's and the command line's words over it."""
    half = None if options.cost_bps is None else options.cost_bps / 2.0
    source = options.source or (None if options.data_dir is None else "files")
    overrides = {
        **machine_overrides(settings),
        "data.source": source,
        "data.folder": None if options.data_dir is None else str(options.data_dir),
        "universe.tickers": options.tickers or None,
        "engine.initial_capital": options.capital,
        "engine.seed": options.seed,
        "costs.half_spread_bps": half,
        "costs.slippage_bps": half,
    }
    if options.database is not None:
        overrides["storage.database_url"] = options.database
    return load_config(config_path(options.config), overrides)


def as_date(moment: datetime | None) -> date | None:
    """Return the day of a parsed date option."""
    return None if moment is None else moment.date()
