"""What options and settings come to, for whoever trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_strategy_allocator import RLStrategyAllocator
from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.ports import Allocator
from trading_platform.core.session import Rules
from trading_platform.engine.fixed_allocator import FixedAllocator
from trading_platform.engine.staying_allocator import StayingAllocator
from trading_platform.regime.config import RegimeConfig
from trading_platform.runtime.trade_settings import TradeOptions, parse_allocation
from trading_platform.storage.database import database_url
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.leaving import LeavingStrategy


@dataclass(frozen=True, slots=True)
class Instructions:
    """What to trade, by which rules. `limits` are all risk limits, for the records; `follow` takes later models too."""

    options: TradeOptions
    settings: Settings
    config: TradingConfig
    limits: Mapping[str, object]
    rules: Rules
    strategies: tuple[AnyStrategy, ...]
    follow: bool

    def choose(self, names: tuple[str, ...]) -> tuple[Allocator, Mapping[str, float] | None]:
        """Return who splits capital among the strategies `names`, and the split if it was given by hand."""
        fixed = parse_allocation(self.options.allocation, names)
        if fixed is not None:
            return FixedAllocator(fixed), fixed
        models = self.config.allocator
        allocator = RLStrategyAllocator(
            models.models_dir,
            names,
            policy=models.policy,
            max_age_sessions=models.age_limit,
            follow=self.follow,
            aside=[strategy.name for strategy in self.strategies if strategy.name not in names],
            regime=RegimeConfig.from_mapping(self.config.regime).fingerprint,
        )
        return allocator, None

    def allocator(self, kept: Sequence[AnyStrategy], traded: Sequence[str]) -> Allocator:
        """Return who splits a live account's capital among `traded`, in kernel order; those that leave get nothing."""
        leaving = {item.name for item in kept if isinstance(item, LeavingStrategy)}
        staying = tuple(name for name in traded if name not in leaving)
        chosen = self.choose(staying)[0]
        return StayingAllocator(chosen, staying, traded) if leaving & set(traded) else chosen

    @property
    def database(self) -> Path | None:
        """The database's file; None on a server."""
        url = database_url(self.config.storage.database_url)
        return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None
