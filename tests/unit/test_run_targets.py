"""Whom an operator means: the only account that can be meant, a named one, all; and never a replay that is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from account_rows import NOW, add_run, empty
from sqlalchemy import Engine

from trading_platform.core.errors import FixConfigError
from trading_platform.reporting.ledger_view import find_run
from trading_platform.storage.reader import read_database
from trading_platform.storage.run_targets import Target, all_accounts, meant_accounts, shown_account
from trading_platform.storage.runs import RunLock


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    database = empty(tmp_path / "d.db")
    yield database
    database.dispose()


def held(engine: Engine, run_id: int) -> RunLock:
    lock = RunLock(engine, run_id)
    lock.acquire(datetime.now(UTC))
    return lock


def meant(engine: Engine, target: Target | None = None, verb: str = "halt") -> list[int]:
    accounts = all_accounts(engine, datetime.now(UTC))
    return [account.run_id for account in meant_accounts(accounts, target or Target(), verb)]


def test_the_account_that_trades_is_meant_and_not_a_newer_replay_that_is_over(engine: Engine) -> None:
    account = add_run(engine, "alpaca_paper", account="PA1", equity=100.0)
    add_run(engine, status="finished", equity=200.0)
    lock = held(engine, account)
    assert meant(engine) == [account]
    lock.release()
    assert meant(engine) == [account]  # it waits for its engine, and obeys when that starts


def test_a_finished_replay_is_refused_named_or_not(engine: Engine) -> None:
    run = add_run(engine, status="finished")
    for target in (Target(), Target(run=run), Target(everything=True)):
        with pytest.raises(FixConfigError, match=f"run {run} is a finished replay: nothing to halt"):
            meant(engine, target)


def test_of_several_accounts_the_only_running_one_is_meant(engine: Engine) -> None:
    first, second = (add_run(engine, "alpaca_paper", account=number) for number in ("PA1", "PA2"))
    with pytest.raises(FixConfigError, match="2 accounts could be meant") as caught:
        meant(engine)
    for run, number in ((first, "PA1"), (second, "PA2")):
        assert f"--run {run}   Alpaca paper account {number} (run {run})" in str(caught.value)
    lock = held(engine, second)
    assert meant(engine) == [second]
    other = held(engine, first)
    with pytest.raises(FixConfigError, match="running"):
        meant(engine)
    assert meant(engine, Target(everything=True)) == [second, first]
    lock.release()
    other.release()


def test_a_replay_that_runs_beside_a_resting_account_is_not_guessed_away(engine: Engine) -> None:
    add_run(engine, "alpaca_paper", account="PA1")
    lock = held(engine, add_run(engine))
    with pytest.raises(FixConfigError, match="2 accounts could be meant"):
        meant(engine)
    lock.release()


def test_an_unfinished_replay_alone_is_meant(engine: Engine) -> None:
    add_run(engine, status="finished")
    run = add_run(engine, status="interrupted")
    assert meant(engine) == [run]


def test_an_account_is_named_by_its_name_its_number_or_its_run(engine: Engine) -> None:
    run = add_run(engine, "alpaca_paper", account="PA1", name="savings")
    other = add_run(engine, "paper")
    for name in ("savings", "PA1"):
        assert meant(engine, Target(account=name)) == [run]
    assert meant(engine, Target(account=str(other))) == [other]
    with pytest.raises(FixConfigError, match="--account savigs: no such account: did you mean 'savings'"):
        meant(engine, Target(account="savigs"))
    with pytest.raises(FixConfigError, match=r"--run 99: no such run; there are 1 \(alpaca_paper\)"):
        meant(engine, Target(run=99))


def test_targets_exclude_each_other() -> None:
    with pytest.raises(FixConfigError, match="exclude each other"):
        Target(run=1, everything=True)


def test_an_empty_database_says_so(engine: Engine) -> None:
    for choose in (meant, lambda e: shown_account(all_accounts(e, NOW), Target())):
        with pytest.raises(FixConfigError, match="holds no run yet"):
            choose(engine)


def test_status_and_report_agree_on_the_newest_run(engine: Engine, tmp_path: Path) -> None:
    """Begun last is newest, whatever year it replays; a real account goes before any replay."""
    add_run(engine, status="finished", started=NOW)
    newer = add_run(engine, status="finished", started=NOW - timedelta(days=3000))

    def both() -> tuple[int, int]:
        reported = read_database(tmp_path / "d.db", find_run)
        assert reported is not None
        return shown_account(all_accounts(engine, NOW), Target()).run_id, reported.id

    assert both() == (newer, newer)
    account = add_run(engine, "alpaca_paper", account="PA1")
    add_run(engine, status="finished")
    assert both() == (account, account)


def test_the_words_of_an_account_name_what_it_holds(engine: Engine) -> None:
    add_run(engine, "alpaca_live", account="123", name="main", equity=99_814.58, held=("AAA", "BBB"))
    (account,) = all_accounts(engine, NOW)
    assert account.words() == "Alpaca LIVE account main (run 1): equity $99,814.58, 2 positions"
    assert not account.running
