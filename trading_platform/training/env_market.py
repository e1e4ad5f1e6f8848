"""The market of an environment: from nothing, a folder, a DataFrame or a panel to what episodes run on.

Without data it is the embedded market with the default strategies, the same in every process. What settings a trader
has written down plays no part: an environment is the same for everybody who builds it alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.trading_config import TradingConfig, load_config
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import MarketPanel
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.engine.trading_rules import rules_of
from trading_platform.market_data.load_panel import load_panel, with_cash_rate
from trading_platform.market_data.providers import calendar_of_source, exchange_calendar
from trading_platform.strategies.registry import active_strategies
from trading_platform.training.preparation import prepared_whole
from trading_platform.training.worlds import rules_at_cost

DATA_CHOICES = (
    "None (the embedded market), a folder of bars, a pandas DataFrame of bars, a MarketPanel, a PreparedMarket"
)


def environment_market(
    data: object = None, strategies: Sequence[str] | None = None, cost_bps: float | None = None
) -> PreparedMarket:
    """Return the market that `data` means, prepared for episodes.

    Parameters
    ----------
    data
        None: the embedded market. A path: a folder as ``--data-dir`` takes it. A pandas DataFrame: bars in any form
        that a file may have; a column ``vix`` beside ``date`` is VIX. A `MarketPanel`. A `PreparedMarket` is returned
        as it is. Data without VIX get the market's realised volatility in its place.
    strategies
        Names of registered strategies; the default set when None. Those whose needs the data do not meet stand aside.
    cost_bps
        Half-spread and slippage in basis points; the settings' own costs when None.

    Raises
    ------
    FixConfigError
        Data of another kind, unknown strategies, a cost that is none.
    MarketDataError
        Bars that cannot be used.
    """
    if cost_bps is not None and not (0.0 <= cost_bps < 10_000.0):
        raise FixConfigError(f"cost_bps must be basis points from 0 up to 10000, was {cost_bps!r}")
    if isinstance(data, PreparedMarket):
        if strategies is not None or cost_bps is not None:
            raise FixConfigError(
                "a PreparedMarket has its strategies and costs already: leave strategies and cost_bps out"
            )
        return data
    names = None if strategies is None else tuple(strategies)
    if data is None:
        return _embedded_market(names, cost_bps)
    if isinstance(data, MarketPanel):
        config = _config(names, {})
        return _prepared(with_cash_rate(data, config.cash), config, cost_bps)
    if isinstance(data, str | Path):
        config = _config(names, {"data.source": "files", "data.folder": str(data), "data.vix": "realized"})
        return _prepared(_load(config, load_settings()), config, cost_bps)
    if hasattr(data, "to_csv") and hasattr(data, "columns"):
        return _from_frame(data, names, cost_bps)
    raise FixConfigError(f"data must be one of {DATA_CHOICES}; was {type(data).__name__}")


def environment_options(options: EpisodeOptions | None, reward: str | None) -> EpisodeOptions:
    """Return `options` (the defaults when None) with the reward that is named beside them, if one is.

    Raises
    ------
    FixConfigError
        An unknown reward; the message lists the choices.
    """
    given = options or EpisodeOptions()
    return given if reward is None else replace(given, reward=reward)


@lru_cache(maxsize=4)  # `make_vec` builds many environments of one market
def _embedded_market(names: tuple[str, ...] | None, cost_bps: float | None) -> PreparedMarket:
    config = _config(names, {})
    return _prepared(_load(config, load_settings()), config, cost_bps)


def _config(names: tuple[str, ...] | None, overrides: dict[str, object]) -> TradingConfig:
    return load_config(None, {"strategies.enabled": names, "data.source": "synthetic", **overrides})


def _load(config: TradingConfig, settings: Settings) -> MarketPanel:
    return load_panel(config, settings, exchange_calendar(config.data), None, None)


def _prepared(panel: MarketPanel, config: TradingConfig, cost_bps: float | None) -> PreparedMarket:
    rules = rules_of(config)
    if cost_bps is not None:
        rules = rules_at_cost(rules, cost_bps)
    strategies, _ = active_strategies(configured_strategies(config), panel)
    clock = calendar_of_source(panel.source).exchange_seconds(panel.sessions)
    return prepared_whole(panel, strategies, clock, config, load_settings(), rules)


def _from_frame(frame: Any, names: tuple[str, ...] | None, cost_bps: float | None) -> PreparedMarket:
    """Read a DataFrame by the reader of files: every form that a file may have, and the same checks and messages."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        columns = {str(column).lower(): column for column in frame.columns}
        if "vix" in columns and "date" in columns:
            vix = frame[[columns["date"], columns["vix"]]].drop_duplicates(columns["date"]).dropna()
            vix.set_axis(["date", "close"], axis=1).to_csv(folder / "vix.csv", index=False)
            frame = frame.drop(columns=columns["vix"])
        has_index = any(name is not None for name in frame.index.names) or "date" not in columns
        frame.to_csv(folder / "bars.csv", index=has_index and type(frame.index).__name__ != "RangeIndex")
        config = _config(names, {"data.source": "files", "data.folder": str(folder), "data.vix": "realized"})
        panel = replace(_load(config, load_settings()._replace(cache_dir=folder / "cache")), source="DataFrame")
    return _prepared(panel, config, cost_bps)
