"""A live account keeps the strategies that it began with, whatever a new version would trade by default."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from trading_platform.configuration.market_tables import StrategiesConfig
from trading_platform.configuration.running_tables import StorageConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.risk.memory import checksum
from trading_platform.core.saved_books import account_text, owners_in, slots_text
from trading_platform.core.simulate import Books, open_books
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.runtime.open_run import kept_strategies, live_run
from trading_platform.storage import models as m
from trading_platform.storage.operator_requests import standing_orders
from trading_platform.storage.runs import begun_with, saved_slots
from trading_platform.storage.strategy_changes import change_strategies
from trading_platform.strategies.leaving import LeavingStrategy
from trading_platform.strategies.registry import DEFAULT_SET, FIRST_SET, make_strategies

OPENED = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def config_in(folder: Path, *enabled: str) -> TradingConfig:
    storage = StorageConfig(database_url=f"sqlite:///{folder / 'live.db'}")
    return replace(TradingConfig(), storage=storage, strategies=StrategiesConfig(enabled))


def world_of(*strategies: str) -> EngineMarket:
    day = date(2024, 1, 2)
    panel = SimpleNamespace(source="here", data_hash="x", warnings=())
    return cast(
        EngineMarket,
        SimpleNamespace(
            panel=panel,
            sessions=[day],
            opened=[OPENED],
            strategies=strategies,
            sectors_json=lambda: "{}",
        ),
    )


def saved(books: Books) -> str:
    return slots_text(books.slots[0], books.lots[0], books.stopped[0])


def hold(books: Books, s: int, ticker: int, owner: int) -> None:
    slot, lot = books.slots[0, s], books.lots[0, s, owner]
    slot["ticker"], slot["owners"], slot["strategy"], slot["quantity"] = ticker, 1 << owner, owner, 5.0
    lot["quantity"] = 5.0


def save(database: Engine, run_id: int, books: Books, **damaged: str) -> None:
    account, slots = account_text(books.accounts), saved(books)
    row = {"account": account, "slots": slots, "checksum": checksum(account + slots), **damaged}
    with database.begin() as connection:
        connection.execute(delete(m.PaperBook))
        connection.execute(insert(m.PaperBook).values(run_id=run_id, session=OPENED.date(), saved_at=OPENED, **row))


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
                run_id=run.run_id,
                session=date(2024, 1, 2),
                account="{}",
                slots=saved(books),
                checksum="x",
                saved_at=OPENED,
            )
        )
    assert live_run(config, {}, world_of("breakout"), "paper", None)[1] == replace(run, continued=True)
    with database.connect() as connection:
        key = connection.execute(select(m.Run.key)).scalar_one()
    assert begun_with(database, key) == ("breakout",)
    with database.begin() as connection:
        hold(books, 0, ticker=1, owner=0)
        connection.execute(update(m.PaperBook).values(slots=saved(books)))
    with pytest.raises(FixConfigError, match=r"holds positions of breakout, and now winners .* flatten first"):
        live_run(config, {}, world_of("winners"), "paper", None)
    live_run(config, {}, world_of("breakout"), "paper", None)  # as before: goes on


def test_a_strategy_that_left_is_traded_until_it_owns_nothing(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    database, run = live_run(config, {}, world_of("momentum", "breakout"), "paper", None)
    books = open_books(1, 3, 2, 3, 1_000.0)
    hold(books, 0, ticker=1, owner=0)
    hold(books, 1, ticker=2, owner=1)
    save(database, run.run_id, books)
    change_strategies(database, run.run_id, ("momentum", "breakout"), ("winners", "breakout"), "newer", OPENED)
    kept = kept_strategies(config, make_strategies(None), "paper", None)
    assert names(kept) == ("breakout", "winners", "momentum")
    assert isinstance(kept[2], LeavingStrategy)
    assert standing_orders(database, run.run_id).leaving == {"momentum"}

    live_run(config, {}, world_of(*names(kept)), "paper", None)  # numbered anew: 1 was breakout, 0 momentum
    slots = saved_slots(database, run.run_id)
    assert slots is not None
    assert owners_in(slots, names(kept)) == {"breakout", "momentum"}
    assert json.loads(slots)["places"] == [[0, 2], [1, 0]]

    books = open_books(1, 3, 3, 3, 1_000.0)
    hold(books, 1, ticker=2, owner=0)
    save(database, run.run_id, books)
    assert names(kept_strategies(config, make_strategies(None), "paper", None)) == ("breakout", "winners")
    halted = {"version": 3, "checksum": "x", "payload": json.dumps({"halted_since": "2024-01-02"}), "saved_at": OPENED}
    with database.begin() as connection:
        connection.execute(insert(m.RiskStateRow).values(run_id=run.run_id, **halted))
    kept = kept_strategies(config, make_strategies(None), "paper", None)
    assert names(kept) == ("breakout", "winners", "momentum")  # the halt's shadow goes by their numbers


def test_a_damaged_book_is_left_as_evidence(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    database, run = live_run(config, {}, world_of("momentum", "breakout"), "paper", None)
    save(database, run.run_id, open_books(1, 3, 2, 3, 1_000.0), checksum="wrong")
    before = saved_slots(database, run.run_id)
    live_run(config, {}, world_of("breakout", "momentum"), "paper", None)
    assert saved_slots(database, run.run_id) == before


def test_an_upgrade_needs_a_reason(tmp_path: Path) -> None:
    database, run = live_run(config_in(tmp_path), {}, world_of("momentum"), "paper", None)
    with pytest.raises(FixConfigError, match="--reason must say why"):
        change_strategies(database, run.run_id, ("momentum",), ("winners",), " ", OPENED)
