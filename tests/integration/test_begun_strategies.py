"""A live account keeps the strategies that it began with, whatever a new version would trade by default."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import insert, select, update

from trading_platform.configuration.trading_config import StorageConfig, StrategiesConfig, TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.saved_books import holds_nothing, slots_text
from trading_platform.core.simulate import Books, open_books
from trading_platform.engine.engine_market import World
from trading_platform.runtime.open_run import kept_strategies, live_run
from trading_platform.storage import models as m
from trading_platform.storage.runs import begun_with
from trading_platform.strategies.registry import DEFAULT_SET, FIRST_SET, make_strategies

OPENED = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def config_in(folder: Path, *enabled: str) -> TradingConfig:
    storage = StorageConfig(database_url=f"sqlite:///{folder / 'live.db'}")
    return replace(TradingConfig(), storage=storage, strategies=StrategiesConfig(enabled))


def world_of(*strategies: str) -> World:
    day = date(2024, 1, 2)
    panel = SimpleNamespace(source="here", data_hash="x", warnings=())
    return cast(
        World,
        SimpleNamespace(
            panel=panel, sessions=[day], opened=[OPENED], strategies=strategies,
            sectors_json=lambda: "{}",
        ),
    )  # fmt: skip


def saved(books: Books) -> str:
    return slots_text(books.slots[0], books.lots[0], books.stopped[0])


def names(strategies: Any) -> tuple[str, ...]:
    return tuple(strategy.name for strategy in strategies)


def test_a_new_default_set_is_for_new_accounts(tmp_path: Path) -> None:
    chosen, config = make_strategies(None), config_in(tmp_path)
    assert names(kept_strategies(config, chosen, "paper", None)) == DEFAULT_SET
    live_run(config, {}, world_of(*FIRST_SET), "paper", None)  # as the version before began it
    assert names(kept_strategies(config, chosen, "paper", None)) == FIRST_SET
    assert names(kept_strategies(config, chosen, "alpaca_paper", "PA1")) == DEFAULT_SET  # another account
    named = config_in(tmp_path, "winners")
    assert names(kept_strategies(named, make_strategies(("winners",)), "paper", None)) == ("winners",)


def test_positions_never_change_hands_by_a_setting(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    database, run = live_run(config, {}, world_of("momentum", "breakout"), "paper", None)
    books = open_books(1, 2, 2, 3, 1_000.0)
    with database.begin() as connection:
        connection.execute(
            insert(m.PaperBook).values(
                run_id=run.run_id, session=date(2024, 1, 2), account="{}", slots=saved(books), checksum="x",
                saved_at=OPENED,
            )
        )  # fmt: skip
    assert live_run(config, {}, world_of("breakout"), "paper", None)[1] == replace(run, continued=True)
    with database.connect() as connection:
        key = connection.execute(select(m.Run.key)).scalar_one()
    assert begun_with(database, key) == ("breakout",)
    with database.begin() as connection:
        books.slots[0]["ticker"][0] = 1
        connection.execute(update(m.PaperBook).values(slots=saved(books)))
    with pytest.raises(FixConfigError, match=r"holds positions of breakout, and now winners .* flatten first"):
        live_run(config, {}, world_of("winners"), "paper", None)
    live_run(config, {}, world_of("breakout"), "paper", None)  # as before: goes on


@pytest.mark.parametrize(("ticker", "empty"), [(-1, True), (4, False)])
def test_books_of_the_first_version_are_understood(ticker: int, empty: bool) -> None:
    assert holds_nothing(json.dumps({"slots": [[ticker, 0, 1.0], [-1, 0, 0.0]]})) is empty
