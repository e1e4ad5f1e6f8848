"""A run on a database server is held by a lease: one holder, a rising epoch, and no commit of whoever lost it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from account_rows import add_run
from lock_holder import holder
from sqlalchemy import Engine, func, select, update

from tests.postgres_server import PostgresServer
from trading_platform.core.errors import OperatorNeededError
from trading_platform.machine.process_identity import boot_id
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.operator_requests import leave_command, open_wishes
from trading_platform.storage.repository import Repository
from trading_platform.storage.runs import RunLock, is_running, open_run

pytestmark = pytest.mark.real
NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    database = open_database(url)
    migrate(database)
    add_run(database, "alpaca_paper", account="PA1")
    yield database
    database.dispose()


@pytest.fixture
def other(url: str, engine: Engine) -> Iterator[Engine]:
    """What another process would have of the same database."""
    database = open_database(url)
    yield database
    database.dispose()


def expire(engine: Engine) -> None:
    """Let the lease's time be over, as after five minutes without a word."""
    with engine.begin() as connection:
        connection.execute(update(m.LeaseRow).values(until=NOW - timedelta(days=3650)))


def epoch(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(m.LeaseRow.epoch)).scalar_one())


def test_a_second_engine_is_refused_and_the_first_is_named(engine: Engine, url: str) -> None:
    first = holder(url, "release")
    assert first.stdout is not None
    pid = int(first.stdout.readline())
    assert is_running(engine, 1, NOW)
    with pytest.raises(OperatorNeededError, match=rf"run 1 is traded by process {pid} on .*, last seen"):
        RunLock(engine, 1).acquire(NOW)
    first.communicate()
    assert not is_running(engine, 1, NOW)
    RunLock(engine, 1).acquire(NOW)


@pytest.mark.skipif(not boot_id(), reason="this system does not tell whether a process number is the same process")
def test_a_killed_engine_on_this_host_keeps_nobody_out(engine: Engine, url: str) -> None:
    holder(url, "die").communicate()
    assert not is_running(engine, 1, NOW)
    RunLock(engine, 1).acquire(NOW)
    assert epoch(engine) == 2


@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"boot": "another machine of the same name"}])
def test_an_engine_of_another_machine_holds_the_run_until_its_lease_ends(
    engine: Engine, url: str, changed: dict[str, str]
) -> None:
    holder(url, "die").communicate()
    with engine.begin() as connection:
        connection.execute(update(m.Heartbeat).values(**changed))
    with pytest.raises(OperatorNeededError, match="run 1 is traded by process"):
        RunLock(engine, 1).acquire(NOW)
    expire(engine)
    RunLock(engine, 1).acquire(NOW)


def test_an_engine_in_another_container_is_not_taken_for_dead_by_its_number(engine: Engine, url: str) -> None:
    holder(url, "die").communicate()
    for table in (m.Heartbeat, m.LeaseRow):
        with engine.begin() as connection:
            connection.execute(update(table).values(owner="somebody@another namespace"))
    with pytest.raises(OperatorNeededError, match="run 1 is traded by process"):
        RunLock(engine, 1).acquire(NOW)


def test_who_was_taken_over_commits_nothing_any_more(engine: Engine, other: Engine) -> None:
    first, second = RunLock(engine, 1), RunLock(other, 1)
    first.acquire(NOW)
    repository = Repository(engine, 1)
    repository.update_run(note="mine")
    repository.commit()
    expire(engine)
    second.acquire(NOW)
    repository.update_run(note="not mine any more")
    with pytest.raises(OperatorNeededError, match="run 1 was taken over by another engine"):
        repository.commit()
    with pytest.raises(OperatorNeededError, match="run 1 was taken over by another engine"):
        first.beat(NOW, "still here")
    with other.connect() as connection:
        assert connection.execute(select(m.Run.note)).scalar_one() == "mine"
    second.beat(NOW, "mine now")
    first.release()
    assert is_running(other, 1, NOW)  # giving back what was lost takes nothing from its holder


def test_a_holder_whose_time_is_over_goes_on_while_nobody_took_the_run(engine: Engine) -> None:
    lock = RunLock(engine, 1)
    lock.acquire(NOW)
    expire(engine)
    lock.beat(NOW, "a failover of six minutes")
    assert is_running(engine, 1, NOW)


def test_an_engine_that_starts_over_in_its_own_process_takes_its_run_again(engine: Engine, url: str) -> None:
    lock = RunLock(engine, 1)
    lock.acquire(NOW)
    assert lock._lease is not None
    lock._lease.let_go()  # as `release` on a server that is away: its row stays
    again = open_database(url)
    RunLock(again, 1).acquire(NOW)
    assert epoch(again) == 2
    again.dispose()


def test_epochs_rise_over_releases(engine: Engine) -> None:
    for number in (1, 2, 3):
        lock = RunLock(engine, 1)
        lock.acquire(NOW)
        assert epoch(engine) == number
        lock.release()
        lock.release()
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(m.Heartbeat)).scalar_one() == 0


def test_engines_that_open_an_account_at_once_find_one_run(url: str, engine: Engine) -> None:
    row = {
        **dict.fromkeys(("source", "config_fingerprint", "config", "data_hash", "code_version", "sectors"), "x"),
        "strategies": "[]",
        "mode": "alpaca_paper",
        "started_at": NOW,
        "capital": 1.0,
    }
    engines = [open_database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda each: open_run(each, "the account", row, []), engines))
    assert len({run.run_id for run in runs}) == 1
    assert [run.continued for run in runs].count(False) == 1
    for each in engines:
        each.dispose()


def test_a_crash_of_one_account_touches_no_other(engine: Engine, url: str) -> None:
    second = add_run(engine, "alpaca_paper", account="PA2")
    lock = RunLock(engine, second)
    lock.acquire(NOW)
    holder(url, "die").communicate()
    lock.beat(NOW, "watching")
    assert [is_running(engine, run, NOW) for run in (1, second)] == [False, True]
    repository = Repository(engine, second)
    repository.update_run(note="goes on")
    repository.commit()


def test_a_command_is_obeyed_once(engine: Engine, other: Engine) -> None:
    leave_command(other, 1, "halt", "two engines read it", NOW)
    (wish,) = open_wishes(engine, 1)
    first, second = Repository(engine, 1), Repository(other, 1)
    for repository in (first, second):
        repository.mark_handled(wish.command_id, NOW, "halted")
    first.commit()
    with pytest.raises(OperatorNeededError, match="was obeyed by another engine already"):
        second.commit()
