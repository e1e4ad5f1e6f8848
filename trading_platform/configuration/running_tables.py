"""Settings of how it runs: pace, account, broker, database, reports, alerts, logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trading_platform.configuration.checked_table import CheckedTable, Count
from trading_platform.core import validation
from trading_platform.core.day_count import NEW_YORK_ZONE
from trading_platform.core.validation import Interval, InvalidSettingsError

OWN_BROKERS = "brokers"  # folder beside trading.toml
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,39}")
_BROKER_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class EngineConfig(CheckedTable):
    """Pace and scale of the engine.

    Attributes
    ----------
    initial_capital
        Dollars that a replay or paper account starts with. A broker's account has its own.
    scan_interval_seconds
        Time between scans while the exchange is open.
    seed
        Seed of everything random; of the embedded market above all.
    replay_sessions
        Sessions that a replay trades when no dates are given.
    history_sessions
        Sessions before the first traded one, for lookbacks and regime fits; 756 is three years.
    fills
        How a replay, `evaluate` and the local paper account fill orders: "exact" at the official open and in full;
        "realistic" as Alpaca does (auction beside the open, partial fills, stops that slip), drawn from `seed`. An
        account at a broker is filled by the broker.
    commit_sessions
        Sessions a replay books per database transaction. A killed replay continues at its last transaction and ends
        with the same trades; what it repeats is at most so many sessions, a tenth of a second for 504. Fewer show a
        watcher more, and are slower.
    consent
        Whether entries of a live or paper account ask their owner before they leave: "none"; "veto", they go unless
        somebody says `veto` in time; "ask", only after a `consent`. Exits always go. Replays ask nobody.
    consent_minutes
        Minutes before the open at which "in time" ends. Orders for the opening auction must be there at 9:28.
    own_rules
        Risk rules of your own, which refuse purchases before all others do: files of the folder `rules`, by name.
    """

    initial_capital: Annotated[float, Interval("[100, 1000000000000]")] = 100_000.0
    scan_interval_seconds: Annotated[float, Interval("[1, 86400]")] = 900.0
    seed: Annotated[int, Interval("[0, 4294967295]")] = 7
    replay_sessions: Count = 252
    history_sessions: Annotated[int, Interval("[0, 1000000]")] = 756
    fills: Literal["exact", "realistic"] = "exact"
    commit_sessions: Count = 504
    consent: Literal["none", "veto", "ask"] = "none"
    consent_minutes: Annotated[float, Interval("[3, 900]")] = 30.0
    own_rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountConfig(CheckedTable):
    """The account that is traded: `name` is what operators call it (`halt --account NAME`). Empty: its number."""

    name: str = ""

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "name" not in problems and self.name and not _ACCOUNT_NAME.fullmatch(self.name):
            problems["name"] = (
                f"name must be letters, digits, dots, hyphens and underscores, at most 40, was {self.name!r}"
            )
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class BrokerConfig(CheckedTable):
    """Where orders go, and how it is spoken to.

    Attributes
    ----------
    name
        "paper" is the local paper account, "alpaca" the account that the keys open, any other name a broker of one's
        own (docs/brokers.md). Empty: what goes with the data, Alpaca's account with Alpaca's bars and the paper account
        with Yahoo's. A replay reaches none.
    folder
        Folder of brokers of one's own.
    trade_updates
        Listen to Alpaca's stream, so that fills are booked within seconds. It takes one listener of an account at a
        time: switch it off where another program of yours listens.
    """

    name: str = ""
    folder: str = OWN_BROKERS
    trade_updates: bool = True

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "name" not in problems and self.name and not _BROKER_NAME.fullmatch(self.name):
            problems["name"] = (
                'name must be "paper", "alpaca" or the name of a broker of your own (small letters, digits and _), was '
                f"{self.name!r}"
            )
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class StorageConfig(CheckedTable):
    """The database, as a SQLAlchemy URL. The environment variable DATABASE_URL wins over it."""

    database_url: str = "sqlite:///trading.db"


@dataclass(frozen=True, slots=True)
class ReportConfig(CheckedTable):
    """The daily report.

    Attributes
    ----------
    deadline_seconds
        Time after which the report goes out with what it has; shorter than the scheduler's limit.
    summary_characters
        Longest text; OpenClaw and Telegram cut a message at 4000 to 4096.
    """

    deadline_seconds: Annotated[float, Interval("[1, 600]")] = 60.0
    summary_characters: Annotated[int, Interval("[500, 4000]")] = 3500


@dataclass(frozen=True, slots=True)
class AlertsConfig(CheckedTable):
    """Alerts at the moment; where they go stands in the environment, since the addresses are secrets.

    Attributes
    ----------
    telegram
        Send them to the bot's chat of the environment, too.
    quiet_minutes
        After a message about a kind of trouble, more of the same kind waits so long and is folded into one.
    quiet_hours
        "22:00-07:00": nothing is sent between these times of `quiet_zone`; what lasts is sent after. Empty: never.
    most_an_hour
        Messages an hour; what is more is folded into the next one.
    ping_minutes
        TRADING_PING_URL is asked after a look at the account, at most once in so many minutes.
    """

    telegram: bool = True
    quiet_minutes: Annotated[float, Interval("[0, 1440]")] = 10.0
    quiet_hours: str = ""
    quiet_zone: str = NEW_YORK_ZONE
    most_an_hour: Annotated[int, Interval("[1, 1000]")] = 12
    ping_minutes: Annotated[float, Interval("[0, 1440]")] = 10.0

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "quiet_hours" not in problems and self.quiet_hours and not _HOURS.fullmatch(self.quiet_hours):
            problems["quiet_hours"] = f'quiet_hours must be as in "22:00-07:00", or empty, was {self.quiet_hours!r}'
        if "quiet_zone" not in problems and not _is_zone(self.quiet_zone):
            problems["quiet_zone"] = f"quiet_zone must be a time zone such as Europe/Berlin, was {self.quiet_zone!r}"
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class LoggingConfig(CheckedTable):
    """Log lines: `file` is inside TRADING_LOG_DIR (empty: standard error), rotated at `max_bytes`, `backups` kept."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"
    file: str = ""
    max_bytes: Annotated[int, Interval("[1024, 10000000000]")] = 10_000_000
    backups: Annotated[int, Interval("[0, 1000]")] = 5


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # names that are folders, or lead out of the database
        return False
    return True
