"""The doctor's checks one by one: what each finds when all is well, and what when it is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import requests

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import BrokerUnreachableError, FixConfigError, MarketDataError
from trading_platform.market_data.vix import VixSourceError
from trading_platform.operations.doctor import (
    check_database,
    check_disk,
    check_model,
    check_settings,
    verdict_line,
)
from trading_platform.operations.doctor_findings import CheckVerdict, Finding, examined, exit_code_of
from trading_platform.operations.doctor_services import check_vix_sources, plain_failure, service_findings
from trading_platform.storage.database import migrate, open_database

NOW = datetime(2024, 3, 8, 15, tzinfo=UTC)


@dataclass(slots=True)
class FakeVix:
    """A source that knows `days`, or fails."""

    name: str
    days: Mapping[date, float] = field(default_factory=dict)
    failure: Exception | None = None

    def closes(self, start: date, end: date) -> Mapping[date, float]:
        if self.failure is not None:
            raise self.failure
        return {day: value for day, value in self.days.items() if start <= day <= end}


def failed(code: int) -> Finding:
    return Finding("x", CheckVerdict.FAILED, "", "", code)


def test_the_first_failure_gives_the_exit_code() -> None:
    well, warned = Finding("a", CheckVerdict.OK, ""), Finding("b", CheckVerdict.WARNING, "")
    assert exit_code_of([well, warned, Finding("c", CheckVerdict.SKIPPED, "")]) == 0
    assert exit_code_of([well, failed(7), warned, failed(4)]) == 7


def test_an_error_of_ours_is_a_failure_with_its_cure_and_code() -> None:
    def check() -> Finding:
        raise BrokerUnreachableError("account: no answer; check the network")

    found = examined("account", check)
    assert found == Finding("account", CheckVerdict.FAILED, "account: no answer", "check the network", 3)


def test_an_error_of_nobodys_is_not_hidden() -> None:
    def check() -> Finding:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        examined("x", check)


def test_suspicious_settings_are_warnings() -> None:
    good, bad = load_settings({}, None), load_settings({"ALPACA_API_KEYS": "x"}, None)
    assert check_settings(good, TradingConfig(), None).verdict is CheckVerdict.OK
    found = check_settings(bad, TradingConfig(), None)
    assert found.verdict is CheckVerdict.WARNING
    assert "ALPACA_API_KEYS" in found.cure


# ---------------------------------------------------------------- database, disk, model


def test_a_database_that_is_not_there_yet_is_well_and_stays_away(tmp_path: Path) -> None:
    found = check_database(str(tmp_path / "new.db"))
    assert (found.verdict, "made at the first start" in found.text) == (CheckVerdict.OK, True)
    assert list(tmp_path.iterdir()) == []


def test_a_sound_database_is_well(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "a.db")
    migrate(engine)
    engine.dispose()
    assert check_database(str(tmp_path / "a.db")).text.endswith("no run yet")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    found = examined("database", lambda: check_database(str(path)))
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 4)
    assert "a.db" in found.text


def test_what_an_interrupted_first_start_leaves_is_well(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    assert check_database(str(tmp_path / "a.db")).verdict is CheckVerdict.OK


def test_a_database_of_another_program_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as other:
        other.execute("CREATE TABLE cookies (x)")
    other.close()
    found = examined("database", lambda: check_database(str(tmp_path / "a.db")))
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 4)


@pytest.mark.parametrize(
    ("free", "verdict", "code"),
    [(5e9, CheckVerdict.OK, 0), (5e8, CheckVerdict.WARNING, 0), (5e7, CheckVerdict.FAILED, 4)],
)
def test_free_space_has_two_limits(tmp_path: Path, free: float, verdict: CheckVerdict, code: int) -> None:
    roomy = tmp_path / "roomy"
    roomy.mkdir()

    def free_bytes(path: Path) -> int:
        return int(9e9) if path == roomy else int(free)

    found = check_disk([roomy, tmp_path / "not" / "made" / "yet"], free_bytes)
    assert (found.verdict, found.exit_code) == (verdict, code)


def test_no_model_is_well_and_says_who_serves(tmp_path: Path) -> None:
    found = check_model(tmp_path / "none")
    assert (found.verdict, "equal weight serves" in found.text) == (CheckVerdict.OK, True)


def test_a_damaged_champion_pointer_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_text("{")
    found = examined("model", lambda: check_model(tmp_path))
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 8)


def test_a_champion_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_text(
        '{"version": 1, "model_id": "20260105-1f2e3d4c5b6a", "promoted_at": "2026-01-05T00:00:00+00:00", '
        '"reason": "r", "history": []}'
    )
    found = examined("model", lambda: check_model(tmp_path))
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 8)


# ---------------------------------------------------------------- VIX, keys


def test_one_source_of_vix_is_enough_and_the_others_are_named() -> None:
    sources = [FakeVix("A", failure=VixSourceError("a page of HTML")), FakeVix("B", {date(2024, 3, 7): 14.0})]
    found = check_vix_sources(sources, NOW, needed=True)
    assert found.verdict is CheckVerdict.OK
    assert "B answer, newest close 2024-03-07; not: A (a page of HTML)" in found.text


@pytest.mark.parametrize(
    ("needed", "verdict", "code"), [(True, CheckVerdict.FAILED, 3), (False, CheckVerdict.WARNING, 0)]
)
def test_no_source_of_vix_fails_only_who_needs_one(needed: bool, verdict: CheckVerdict, code: int) -> None:
    sources = [FakeVix("A", failure=MarketDataError("empty")), FakeVix("B")]
    found = check_vix_sources(sources, NOW, needed=needed)
    assert (found.verdict, found.exit_code) == (verdict, code)
    assert "A (empty); B (nothing recent)" in found.text


def test_old_vix_is_a_warning() -> None:
    found = check_vix_sources([FakeVix("A", {date(2024, 3, 1): 14.0})], NOW, needed=True)
    assert found.verdict is CheckVerdict.WARNING


def test_a_value_of_tomorrow_does_not_count() -> None:
    class Eager(FakeVix):
        def closes(self, start: date, end: date) -> Mapping[date, float]:
            return self.days

    found = check_vix_sources([Eager("A", {date(2024, 3, 9): 14.0})], NOW, needed=True)
    assert found.verdict is CheckVerdict.FAILED


def test_real_money_without_its_second_confirmation_stops_at_the_keys() -> None:
    settings = load_settings({"ALPACA_API_KEY": "AKX", "ALPACA_SECRET_KEY": "s"}, None)
    keys, *rest = service_findings(settings, TradingConfig(), lambda: NOW, live=True)
    assert (keys.verdict, keys.exit_code) == (CheckVerdict.FAILED, FixConfigError.exit_code)
    assert {finding.verdict for finding in rest} == {CheckVerdict.SKIPPED}


# ---------------------------------------------------------------- words


def chained(text: str, cause: Exception) -> Exception:
    error = VixSourceError(text)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (chained("HTTPSConnectionPool(host='x')", requests.ConnectionError("refused")), "(unreachable: no network?)"),
        (chained("x", requests.Timeout("slow")), "(no answer in time)"),
        (VixSourceError("HTTPSConnectionPool(host='x', port=443): Max retries exceeded"), "(unreachable: no network?)"),
        (VixSourceError("line 3 cannot be read: ['a', 'b']"), "(line 3 cannot be read: ['a', 'b'])"),
        (VixSourceError("a long story " * 20), f"({('a long story ' * 7)[:-1].rpartition(' ')[0]} ...)"),
    ],
)
def test_what_a_library_says_is_told_in_words(error: Exception, words: str) -> None:
    assert plain_failure(error) == words


def test_the_last_line_is_the_verdict_and_the_next_command() -> None:
    well, skipped = Finding("keys", CheckVerdict.OK, ""), Finding("keys", CheckVerdict.SKIPPED, "")
    assert verdict_line([well]) == "Ready to trade: python autonomous_trading_engine.py trade"
    assert verdict_line([skipped, Finding("VIX", CheckVerdict.WARNING, "")]) == (
        "Ready to replay (no keys, so not for Alpaca): python autonomous_trading_engine.py Look at: VIX."
    )
    assert verdict_line([well, failed(4)]) == "Not ready: mend x first, then run doctor again."
