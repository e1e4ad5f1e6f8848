"""What options and settings come to, for whoever trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.ports import Allocator
from trading_platform.core.session import Rules
from trading_platform.runtime.trade_settings import TradeOptions
from trading_platform.storage.database import database_url


@dataclass(frozen=True, slots=True)
class Instructions:
    """What to trade, by which rules. `limits` are all risk limits, for the records; `fixed` a split given by hand."""

    options: TradeOptions
    settings: Settings
    config: TradingConfig
    limits: Mapping[str, object]
    rules: Rules
    allocator: Allocator
    fixed: Mapping[str, float] | None

    @property
    def database(self) -> Path | None:
        """The database's file; None on a server."""
        url = database_url(self.config.storage.database_url)
        return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None
