"""The operator's word: it names what it is for, waits until it is obeyed, and promises nothing else."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from account_rows import add_run, empty
from sqlalchemy import Engine, select, update

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.operations.commands import (
    NOT_OBEYED,
    Asked,
    Patience,
    Place,
    ask,
    delete_run,
    list_runs,
    mark_run,
    status,
)
from trading_platform.storage import models as m
from trading_platform.storage.operator_requests import Standing, operator_name, standing_orders
from trading_platform.storage.run_targets import Target
from trading_platform.storage.runs import RunLock


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    database = empty(tmp_path / "d.db")
    yield database
    database.dispose()


@pytest.fixture
def place(tmp_path: Path, engine: Engine) -> Place:
    return Place(str(tmp_path / "d.db"), None)


@pytest.fixture
def account(engine: Engine) -> int:
    return add_run(engine, "alpaca_paper", account="PA1", name="savings", equity=1234.5, held=("AAA",))


@pytest.fixture
def trading(engine: Engine, account: int) -> Iterator[RunLock]:
    lock = RunLock(engine, account)
    lock.acquire(datetime.now(UTC))
    yield lock
    lock.release()


def obey(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(m.Command).values(handled_at=datetime.now(UTC), result="done at 15:00 UTC"))


class Time:
    """Seconds that pass only while somebody waits; `then` happens in the first pause."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.now = 0.0
        self._due = [then]

    def pause(self, seconds: float) -> None:
        self.now += seconds
        while self._due:
            self._due.pop()()

    def patience(self) -> Patience:
        return Patience(10.0, lambda: self.now, self.pause)


def asked(kind: str = "halt", subject: str | None = None, **more: object) -> Asked:
    return Asked(kind, "holiday", subject, **{"target": Target(), **more})  # type: ignore[arg-type] # as given


def commands(engine: Engine) -> list[tuple[str, str | None, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(m.Command.kind, m.Command.subject, m.Command.reason)).all()
    return [tuple(row) for row in rows]  # type: ignore[misc] # three columns


def test_halt_waits_until_the_engine_has_obeyed_and_says_what_was_done(
    engine: Engine, place: Place, trading: RunLock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(place, asked(), Time(lambda: obey(engine)).patience()) == 0
    shown = capsys.readouterr().out
    assert "halt: Alpaca paper account savings (run 1): equity $1,234.50, 1 position" in shown
    assert "done at 15:00 UTC: nothing new is opened until `resume`" in " ".join(shown.split())
    assert commands(engine) == [("halt", None, "holiday")]


def test_a_command_that_is_not_obeyed_in_time_has_an_exit_code_of_its_own(
    place: Place, trading: RunLock, capsys: pytest.CaptureFixture[str]
) -> None:
    time = Time()
    assert ask(place, asked(), time.patience()) == NOT_OBEYED
    assert time.now == pytest.approx(10.0, abs=0.5)
    told = " ".join(capsys.readouterr().err.split())
    assert "waiting for the engine of run 1 (5 s; Ctrl-C leaves it recorded)" in told
    assert "not obeyed within 10 s" in told


def test_an_engine_that_ends_meanwhile_is_not_waited_for(
    place: Place, trading: RunLock, capsys: pytest.CaptureFixture[str]
) -> None:
    time = Time(trading.release)
    assert ask(place, asked(), time.patience()) == NOT_OBEYED
    assert time.now < 1.0
    assert "has ended before it obeyed" in " ".join(capsys.readouterr().err.split())


def test_scripts_need_not_wait(
    engine: Engine, place: Place, trading: RunLock, capsys: pytest.CaptureFixture[str]
) -> None:
    time = Time()
    assert ask(place, asked(wait=False), time.patience()) == 0
    assert time.now == 0.0
    assert len(commands(engine)) == 1


def test_interrupting_the_wait_leaves_the_command_and_says_so(engine: Engine, place: Place, trading: RunLock) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(StoppedNowError, match="the halt stays recorded for run 1"):
        ask(place, asked(), Time(interrupt).patience())
    assert len(commands(engine)) == 1


def test_an_account_without_engine_obeys_when_it_is_started(
    engine: Engine, place: Place, account: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(place, asked(), Time().patience()) == 0
    assert "no engine runs for it: obeyed when it is started" in " ".join(capsys.readouterr().out.split())


def test_a_finished_replay_records_nothing(engine: Engine, place: Place) -> None:
    add_run(engine, status="finished")
    with pytest.raises(FixConfigError, match="nothing to halt"):
        ask(place, asked())
    assert commands(engine) == []


def test_all_reaches_every_account(engine: Engine, place: Place, account: int) -> None:
    add_run(engine, "alpaca_paper", account="PA2")
    assert ask(place, asked(target=Target(everything=True)), Time().patience()) == 0
    assert len(commands(engine)) == 2


@pytest.mark.parametrize(
    ("kind", "subject", "words"),
    [
        ("flatten", "BBB", "run 1 holds no BBB; held are AAA"),
        ("pause", "momentun", "has no strategy momentun: did you mean 'momentum'"),
        ("unpause", "momentum", "momentum is not paused in run 1: nothing to unpause"),
    ],
)
def test_a_subject_that_nothing_could_come_of_is_refused(
    engine: Engine, place: Place, account: int, kind: str, subject: str, words: str
) -> None:
    with pytest.raises(FixConfigError, match=words):
        ask(place, asked(kind, subject))
    assert commands(engine) == []


def test_flatten_asks_and_only_a_clear_yes_counts(
    engine: Engine, place: Place, account: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert ask(place, asked("flatten", sure=False)) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert commands(engine) == []
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert ask(place, asked("flatten", "AAA", sure=False), Time().patience()) == 0
    assert commands(engine) == [("flatten", "AAA", "holiday")]


def test_a_question_that_nobody_answers_is_refused(
    engine: Engine, place: Place, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(FixConfigError, match="in scripts say --yes"):
        ask(place, asked("flatten", sure=False))
    assert commands(engine) == []


def test_who_has_no_name_here_is_unknown_and_may_still_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr("os.getuid", lambda: 3_999_999_999, raising=False)  # as `docker run --user` gives
        assert operator_name() == "unknown"
    monkeypatch.setitem(sys.modules, "pwd", None)  # Windows
    assert operator_name() == "unknown"
    monkeypatch.setenv("USERNAME", "ada")
    assert operator_name() == "ada"


def test_what_was_said_stands_until_it_is_taken_back() -> None:
    standing = Standing()
    for kind, subject in (("pause", "momentum"), ("flatten", "AAA"), ("flatten", None), ("halt", None)):
        standing = standing.after(kind, subject)
    assert standing == Standing(True, frozenset({"AAA"}), frozenset({"momentum"}))
    standing = standing.after("resume", None)
    assert standing == Standing(False, frozenset(), frozenset({"momentum"}))
    assert standing.after("unpause", "momentum") == Standing()


def test_standing_orders_are_read_back_from_what_was_obeyed(engine: Engine, place: Place, account: int) -> None:
    ask(place, asked("pause", "momentum"), Time().patience())
    assert standing_orders(engine, account) == Standing()
    obey(engine)
    assert standing_orders(engine, account).paused == {"momentum"}


def test_runs_are_listed_marked_and_deleted(
    engine: Engine, place: Place, account: int, capsys: pytest.CaptureFixture[str]
) -> None:
    replay = add_run(engine, status="finished", equity=5.0, held=("AAA",))
    assert mark_run(place, replay, "tag", "best") == 0
    capsys.readouterr()
    assert list_runs(place, as_json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["id"], row["tag"], row["state"]) for row in rows] == [
        (replay, "best", "finished"),
        (account, None, "no engine runs"),
    ]
    assert [row["return"] for row in rows] == [-0.995, None]  # an account's deposits are no gain
    with pytest.raises(FixConfigError, match="record of an account"):
        delete_run(place, account, sure=True)
    assert delete_run(place, replay, sure=True) == 0
    with engine.connect() as connection:
        assert connection.execute(select(m.Run.id)).scalars().all() == [account]
        assert connection.execute(select(m.EquityRow.run_id)).scalars().all() == [account]


def test_a_replay_that_runs_is_not_deleted(engine: Engine, place: Place) -> None:
    run = add_run(engine)
    lock = RunLock(engine, run)
    lock.acquire(datetime.now(UTC))
    with pytest.raises(FixConfigError, match="being replayed now"):
        delete_run(place, run, sure=True)
    lock.release()


def test_status_of_all_leaves_out_what_is_over(
    engine: Engine, place: Place, account: int, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(engine, status="finished")
    assert status(place, Target(everything=True), as_json=True) == 0
    (state,) = json.loads(capsys.readouterr().out)
    assert (state["run"]["id"], state["run"]["name"]) == (account, "savings")
