"""Settings of a training run, and of the daily job that feeds the trial: environment, settings file, command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config, machine_overrides
from trading_platform.core.session import Rules
from trading_platform.engine.trading_rules import rules_of


def read_rules(path: Path | None, overrides: Mapping[str, object]) -> tuple[Settings, Rules, TradingConfig]:
    """Return settings, trading rules and configuration; Alpaca's history is taken when there are keys for it."""
    settings = load_settings()
    chosen = {**machine_overrides(settings), **overrides}
    if chosen["data.source"] is None and settings.has_alpaca_keys and config_path(path) is None:
        chosen["data.source"] = "alpaca"
    config = load_config(config_path(path), chosen)
    return settings, rules_of(config), config


def registry_folder(named: Path | None, path: Path | None = None) -> Path:
    """Return the folder of models: the one that was named, else where the engine looks for its champion.

    That is RL_MODELS_DIR, else ``[allocator] models_dir`` of the settings file at `path` (trading.toml if it is there).
    """
    if named is not None:
        return named
    return Path(load_config(config_path(path), machine_overrides(load_settings())).allocator.models_dir)
