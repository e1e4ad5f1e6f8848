"""What makes two replays the same run: a continued one is decided as it began, whatever was promoted meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from risk_config import RiskConfig
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.running_tables import StorageConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.costs import CostConfig, ExitConfig, SizingConfig
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.engine.fixed_allocator import FixedAllocator
from trading_platform.runtime.open_run import Stage, set_stage
from trading_platform.strategies.registry import make_strategies

LIMITS = RiskConfig().to_dict()
RULES = Rules(limits_of(LIMITS), ExitConfig().rates(), CostConfig().rates(), SizingConfig().rates())
REGIME = {"fit_window": 126, "refit_months": 12, "restarts": 1, "iterations": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def stage(folder: Path, model_id: str | None = None, allocation: dict[str, float] | None = None) -> Stage:
    storage = StorageConfig(database_url=f"sqlite:///{folder / 'runs.db'}")
    config = replace(TradingConfig(), regime=REGIME, storage=storage)
    settings = load_settings({"TRADING_CACHE_DIR": str(folder / "cache")}, None)
    names = tuple(allocation or ("momentum",))
    allocator = FixedAllocator(allocation or {"momentum": 1.0})
    allocator.model_id = model_id
    return set_stage(
        config, settings, RULES, LIMITS, None, None, make_strategies(names), lambda _: (allocator, allocation)
    )


def test_another_champion_or_allocation_is_another_run(folder: Path) -> None:
    without, one, other = (stage(folder, model_id).run for model_id in (None, "m-one", "m-other"))
    fixed = stage(folder, allocation={"momentum": 1.0}).run
    assert len({run.run_id for run in (without, one, other, fixed)}) == 4
    assert not any(run.continued for run in (without, one, other, fixed))


def test_the_same_champion_continues_the_run(folder: Path) -> None:
    begun = stage(folder, "m-again").run
    again = stage(folder, "m-again").run
    assert (again.run_id, again.continued) == (begun.run_id, True)
