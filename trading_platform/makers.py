"""What the trading command needs of the modules above this package: how the engine and its parts are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Engine

from trading_platform.brokers.venue import VenueMaker
from trading_platform.config import TradingConfig
from trading_platform.core.ports import Allocator
from trading_platform.core.session import Rules
from trading_platform.live import LiveEngine
from trading_platform.replay import EngineClock, ScanResult
from trading_platform.reporting.run_screen import TradeGate
from trading_platform.stopwatch import Stopwatch
from trading_platform.storage.repository import Repository
from trading_platform.storage.runs import RunLock
from trading_platform.world import World

INTERRUPTED = 130  # as a shell has it: 128 + SIGINT


class RiskSettings(Protocol):
    """The part of RiskConfig that is needed here."""

    def to_dict(self) -> dict[str, Any]:
        """Return all limits by name."""
        ...


class DeskEngine(LiveEngine, Protocol):
    """The engine as the command drives it."""

    stages: Stopwatch
    repository: Repository

    @property
    def risk_manager(self) -> TradeGate:
        """The one door."""
        ...

    def recover(self, first: int) -> int:
        """Continue from the database; return the row to scan next."""
        ...

    def run(self, first: int, stop: int, watch: Callable[[ScanResult], None] | None = None) -> int:
        """Scan rows; return the row after the last."""
        ...


class MakeEngine(Protocol):
    """How an engine is put together."""

    def __call__(
        self,
        world: World,
        database: Engine,
        run_id: int,
        config: TradingConfig,
        rules: Rules,
        allocator: Allocator,
        clock: EngineClock,
        *,
        live: bool,
        open_venue: VenueMaker | None = None,
    ) -> tuple[DeskEngine, RunLock]:
        """Return the engine and its hold on the run; orders go to the venue, a paper broker where there is none."""
        ...


class Makers(NamedTuple):
    """What the flat modules own. `checkpoint` is called with the name of each step of an order's and a book's life."""

    risk: Callable[[Mapping[str, object]], RiskSettings]
    allocator: Callable[[str, tuple[str, ...], float, bool], Allocator]
    engine: MakeEngine
    checkpoint: Callable[[str], None] = lambda step: None
