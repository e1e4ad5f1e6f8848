"""A database that the first version left: its account keeps its set, and goes over when `upgrade` is agreed to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from risk_config import RiskConfig
from tests.first_version import POSITION, first_account, first_slot, first_text
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.running_tables import StorageConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import FixConfigError, OperatorNeededError, RepairDatabaseError
from trading_platform.core.ports import SavedBook
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.machine.clocks import ReplayClock, utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.runtime import upgrade as module
from trading_platform.runtime.account_choice import Whose
from trading_platform.runtime.build import build_engine
from trading_platform.runtime.instructions import Instructions
from trading_platform.runtime.open_run import _live_key, kept_strategies, live_market, live_run, set_notices
from trading_platform.runtime.trade_settings import TradeOptions
from trading_platform.storage.database import MIGRATIONS, open_database
from trading_platform.storage.runs import RunLock
from trading_platform.strategies.registry import DEFAULT_SET, FIRST_SET, make_strategies

CALENDAR = NyseCalendar()
RISK = RiskConfig().to_dict()
RULES = Rules(limits_of(RISK), ExitConfig().rates(), CostConfig().rates())
REGIME = {"fit_window": 126, "refit_months": 1, "restarts": 1, "iterations": 30}
DAYS = tuple(CALENDAR.sessions_between(date(2023, 6, 12), date(2023, 6, 16)).tolist())  # Monday to Friday
FIRST_REVISION = "0001"  # of the schema of the version before lots
MOMENTUMS, BREAKOUTS = 11, 7  # columns of the embedded market that it held


def instructions(folder: Path, *, as_json: bool = True) -> Instructions:
    file = folder / "old.db"
    config = replace(TradingConfig(), regime=REGIME, storage=StorageConfig(database_url=f"sqlite:///{file}"))
    config = replace(config, universe=replace(config.universe, tickers=stocks()))  # so that some strategies stand aside
    options = TradeOptions(command="trade", once=True, json=as_json, database=str(file))
    settings = load_settings({"TRADING_CACHE_DIR": str(folder)}, None)
    return Instructions(options, settings, config, RISK, RULES, make_strategies(None), follow=False)


def stocks() -> tuple[str, ...]:
    """Return the stocks of the embedded market, without its funds."""
    panel = SyntheticMarketData(7, funds=True).history()
    return tuple(ticker for ticker, sector in zip(panel.tickers, panel.sectors, strict=True) if sector[0].isupper())


def first_database(given: Instructions) -> Engine:
    """Return the database of a paper account as the first version left it: two positions, one entry that waits."""
    file = given.database
    assert file is not None
    engine = open_database(file)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST_REVISION)
        held = POSITION | {"entry_day": 19_401, "limit_price": 0.0, "stop": 0.0, "target": 0.0}  # a Monday
        book = first_text(
            first_account(cash=93_760.0, equity=100_000.0),
            [
                first_slot(**held | {"ticker": MOMENTUMS, "strategy": FIRST_SET.index("momentum")}),
                first_slot(**held | {"ticker": BREAKOUTS, "strategy": FIRST_SET.index("breakout")}),
            ],
            {"0": "tp-a", "1": "tp-b"},
        )
        store(connection, given, book)
    return engine


def store(connection: Any, given: Instructions, book: SavedBook) -> None:
    now = datetime(2023, 6, 9, 21, 0)  # noqa: DTZ001 - the database keeps UTC without saying so
    run = {
        "id": 1,
        "key": _live_key(given.config, "paper", None),
        "mode": "paper",
        "source": "embedded",
        "status": "running",
        "started_at": now,
        "capital": 10_000_000,
        "first_session": date(2023, 6, 1),
        "last_session": DAYS[0],
        "config_fingerprint": "first",
        "config": "{}",
        "data_hash": "first",
        "code_version": "1",
        "strategies": json.dumps(FIRST_SET),
        "sectors": "{}",
    }
    columns = ", ".join(run)
    connection.execute(text(f"INSERT INTO runs ({columns}) VALUES ({', '.join(f':{n}' for n in run)})"), run)  # noqa: S608
    row = {"run_id": 1, "session": DAYS[0], "saved_at": now, "account": book.account, "slots": book.slots}
    row["checksum"] = book.checksum
    connection.execute(
        text(
            "INSERT INTO paper_books (run_id, session, saved_at, account, slots, checksum) "
            "VALUES (:run_id, :session, :saved_at, :account, :slots, :checksum)"
        ),
        row,
    )


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Instructions, Engine]:
    given = instructions(tmp_path)
    database = first_database(given)
    today: Callable[..., date] = lambda calendar, now: DAYS[0]  # noqa: E731 - a stand-in
    monkeypatch.setattr(module, "due_session", today)
    return given, database


def said(given: Instructions, capsys: pytest.CaptureFixture[str], **chosen: Any) -> dict[str, Any]:
    told = {"plan_only": False, "sure": False, "reason": None} | chosen
    assert module.upgrade(given, Whose.SIMULATED, **told) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def rows(database: Engine, query: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_plan_of_a_first_versions_account_changes_nothing_but_the_schema(
    stored: tuple[Instructions, Engine], capsys: pytest.CaptureFixture[str]
) -> None:
    given, database = stored
    plan = said(given, capsys, plan_only=True)
    assert (plan["run"], plan["before"], plan["agreed"]) == (1, list(FIRST_SET), False)
    assert plan["leaving"] == list(FIRST_SET)
    assert {*plan["joining"], *plan["stands_aside"]} == set(DEFAULT_SET)
    assert "asset_trend" in plan["stands_aside"]  # it needs funds
    assert {name for row in plan["sold"] for name in row["strategies"]} == {"momentum", "breakout"}
    assert [row["quantity"] for row in plan["sold"]] == [30.0, 30.0]
    assert plan["bought"]
    assert plan["costs"]["total"] > 0.0
    assert plan["invested_after"] > 0.2
    assert rows(database, "SELECT strategies FROM runs") == [(json.dumps(FIRST_SET),)]
    assert rows(database, "SELECT count(*) FROM commands") == [(0,)]


def test_account_of_the_first_version_goes_over_when_it_is_agreed_to(
    stored: tuple[Instructions, Engine], capsys: pytest.CaptureFixture[str]
) -> None:
    given, _ = stored
    kept = kept_strategies(given.config, given.strategies, "paper", None)
    assert tuple(item.name for item in kept) == FIRST_SET
    plan = said(given, capsys, sure=True, reason="a better book")
    assert plan["agreed"] is True

    def world_at(day: date) -> Any:
        kept = kept_strategies(given.config, given.strategies, "paper", None)
        return kept, live_market(given.config, given.settings, RULES, CALENDAR, kept, day)

    kept, world = world_at(DAYS[1])
    assert {item.name for item in kept} - set(DEFAULT_SET) == {"momentum", "breakout"}  # who owns nothing is gone
    (notice,) = set_notices(world, kept, given.strategies)
    assert "left this account" in notice
    assert "momentum" in notice
    database, run = live_run(given.config, RISK, world, "paper", None)
    allocator = given.allocator(kept, world.strategies)
    engine, lock = build_engine(
        world, database, run.run_id, given.config, RULES, allocator, ReplayClock(world.closed[0]), live=True
    )
    try:
        row = engine.recover(len(world.sessions) - 1)
        assert world.sessions[row] == DAYS[1]
        result = engine.scan_cycle(row)
        assert result.allocation["momentum"] == 0.0
        assert sum(result.allocation.values()) == pytest.approx(1.0)
        engine.adopt(live_market(given.config, given.settings, RULES, CALENDAR, kept, DAYS[2]))
        engine.scan_cycle(len(engine.prepared.sessions) - 1)
        engine.commit()
    finally:
        lock.release()
    sold = rows(database, "SELECT strategy, quantity, reason FROM fills WHERE side = 'sell' ORDER BY strategy")
    assert sold == [("breakout", 30.0, "unfunded"), ("momentum", 30.0, "unfunded")]
    _, world = world_at(DAYS[3])
    live_run(given.config, RISK, world, "paper", None)
    assert not {"momentum", "breakout"} & set(json.loads(rows(database, "SELECT strategies FROM runs")[0][0]))
    told = rows(database, "SELECT kind, subject FROM commands WHERE reason = 'a better book' AND actor <> ''")
    assert ("upgrade", None) in told
    assert ("leave", "momentum") in told


def test_upgrade_asks_and_a_no_changes_nothing(
    stored: tuple[Instructions, Engine], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, database = stored
    given = replace(given, options=replace(given.options, json=False))
    monkeypatch.setattr(module, "confirmed", lambda question: False)
    assert module.upgrade(given, Whose.SIMULATED, plan_only=False, sure=False, reason=None) == 0
    told = capsys.readouterr().out
    assert "sell 30" in told
    assert "costs $" in told
    assert "total" not in told
    assert "aside  asset_trend" in told
    assert "nothing was changed" in told
    assert rows(database, "SELECT count(*) FROM commands") == [(0,)]


def test_upgrade_is_refused_while_it_would_do_harm(
    stored: tuple[Instructions, Engine], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given, database = stored
    told = {"plan_only": False, "sure": True, "reason": None}
    said(given, capsys, plan_only=True)  # brings the schema up to date
    lock = RunLock(database, 1)
    lock.acquire(utc_now())
    with pytest.raises(OperatorNeededError, match="stop it first"):
        module.upgrade(given, Whose.SIMULATED, **told)  # type: ignore[arg-type]
    lock.release()
    with database.begin() as connection:
        halted = {"payload": json.dumps({"halted_since": "2023-06-09"}), "at": datetime.now(UTC).replace(tzinfo=None)}
        connection.execute(
            text(
                "INSERT INTO risk_states (run_id, version, saved_at, payload, checksum) "
                "VALUES (1, 3, :at, :payload, 'x')"
            ),
            halted,
        )
    with pytest.raises(OperatorNeededError, match="halted by its drawdown"):
        module.upgrade(given, Whose.SIMULATED, **told)  # type: ignore[arg-type]
    with pytest.raises(FixConfigError, match="asks nobody"):
        module.upgrade(given, Whose.SIMULATED, plan_only=False, sure=False, reason=None)
    with pytest.raises(FixConfigError, match="for an account that is traded"):
        module.upgrade(given, Whose.NOBODYS, **told)  # type: ignore[arg-type]
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(RepairDatabaseError, match="does not exist"):
        module.upgrade(instructions(tmp_path / "elsewhere"), Whose.SIMULATED, **told)  # type: ignore[arg-type]
