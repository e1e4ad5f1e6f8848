"""A fleet: several accounts, a process each, all in one database; read from a file and checked before anything starts.

Each table of the file is an account. Its name is what operators call it, the instance of the systemd template and the
service of compose. What is checked is what two engines must not share, and what a start would stumble over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.toml_tables import read_toml
from trading_platform.configuration.trading_config import TradingConfig, load_config
from trading_platform.core import validation
from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import InvalidSettingsError
from trading_platform.reporting.status_screen import say, show_json
from trading_platform.storage.database import database_name, database_url

_NAME = re.compile(r"[a-z0-9][a-z0-9_\-]{0,39}")
_MEMORY = re.compile(r"[1-9][0-9]{0,5}[MG]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of the file, as it is written. A path is relative to the file; empty is NAME.toml, or NAME.env."""

    settings: str = ""
    secrets: str = ""
    memory: str = "2G"
    live: bool = False
    starts: bool = True

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "memory" not in problems and not _MEMORY.fullmatch(self.memory):
            problems["memory"] = f'memory must be a number and M or G, as in "2G", was {self.memory!r}'
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class Member:
    """One account: its files, the most memory of its engine, whether it trades real money and starts by itself."""

    name: str
    settings: Path
    secrets: Path
    memory: str
    live: bool
    starts: bool


@dataclass(frozen=True, slots=True)
class _Loaded:
    member: Member
    settings: Settings
    config: TradingConfig

    @property
    def url(self) -> str:
        own = self.settings.database_url
        return self.config.storage.database_url if own is None else own.reveal()


def check_fleet(file: Path, *, as_json: bool) -> int:
    """Check a fleet and print a line an account; return the exit code.

    Raises
    ------
    FixConfigError
        Everything that is wrong with it, at once.
    """
    members = read_fleet(file)
    where = check_members(members)
    if as_json:
        rows = [
            {"name": each.name, "settings": str(each.settings), "live": each.live, "starts": each.starts}
            for each in members
        ]
        show_json({"database": where, "accounts": rows})
        return 0
    for each in members:
        money = "REAL MONEY" if each.live else "paper"
        say(f"{each.name}: {money}, {each.settings}, {'starts' if each.starts else 'starts only by hand'}")
    say(f"{len(members)} account{'' if len(members) == 1 else 's'} in {where}")
    return 0


def read_fleet(file: Path) -> tuple[Member, ...]:
    """Return the accounts of a fleet's file, in its order.

    Raises
    ------
    FixConfigError
        Everything that is wrong in the file.
    """
    members, problems = [], []
    for name, table in read_toml(file).items():
        if not _NAME.fullmatch(name):
            problems.append(f"{name!r} cannot name an account: small letters, digits, hyphens, at most 40")
            continue
        if not isinstance(table, dict):
            problems.append(f"{name} must be a table: write [{name}] on a line of its own")
            continue
        try:
            members.append(_member(file, name, validation.build(Entry, table, InvalidSettingsError)))
        except InvalidSettingsError as error:
            problems += [f"{name}.{line}" for line in error.problems]
    if not members and not problems:
        problems.append("names no account: begin a table with its name, as in [main]")
    if problems:
        raise InvalidSettingsError(f"{file}: {line}" for line in problems)
    return tuple(members)


def check_members(members: Sequence[Member]) -> str:
    """Read what every engine of the fleet will read; return what their database is called, without its password.

    Raises
    ------
    FixConfigError
        Files that are missing or wrong, keys or names that two accounts share, another database, unconfirmed money.
    """
    loaded, problems = [], []
    for member in members:
        try:
            loaded.append(_load(member))
        except FixConfigError as error:
            problems += [f"{member.name}: {line}" for line in str(error).splitlines()]
    for each in loaded:
        problems += [f"{each.member.name}: {line}" for line in _own_problems(each)]
    keys = ((each.member.name, key) for each in loaded if (key := each.settings.alpaca_api_key) is not None)
    problems += [
        f"{' and '.join(names)} have the same ALPACA_API_KEY: two engines would trade one account"
        for names in _shared(keys)
    ]
    urls = {each.url for each in loaded}
    if len(urls) > 1:
        told = ", ".join(f"{each.member.name}: {database_name(database_url(each.url))}" for each in loaded)
        problems.append(f"all accounts must be in one database, their DATABASE_URL says others ({told})")
    for url in urls if len(members) > 1 else ():
        if database_url(url).get_backend_name() == "sqlite":
            problems.append(
                f"{database_name(database_url(url))} is a file, which is for one engine; several need a server: "
                "DATABASE_URL=postgresql://USER@HOST/NAME"
            )
    if problems:
        raise InvalidSettingsError(problems)
    return database_name(database_url(urls.pop()))


def _member(file: Path, name: str, entry: Entry) -> Member:
    folder = file.absolute().parent
    settings = folder / (entry.settings or f"{name}.toml")
    secrets = folder / (entry.secrets or f"{name}.env")
    return Member(name, settings, secrets, entry.memory, entry.live, entry.starts)


def _load(member: Member) -> _Loaded:
    config = load_config(member.settings)
    if not member.secrets.is_file():
        raise FixConfigError(f"{member.secrets}: is not there; it holds the account's keys and DATABASE_URL")
    return _Loaded(member, load_settings({}, member.secrets), config)


def _own_problems(each: _Loaded) -> list[str]:
    member, found = each.member, []
    if each.config.account.name != member.name:
        found.append(
            f'{member.settings}: [account] name must be "{member.name}", as the fleet calls it, '
            f"was {each.config.account.name!r}"
        )
    if not each.settings.has_alpaca_keys and each.config.broker.name in ("", "alpaca"):
        found.append(f"{member.secrets}: has no ALPACA_API_KEY and ALPACA_SECRET_KEY, and no other broker is named")
    if member.live and not each.settings.allow_live:
        found.append(f"{member.secrets}: live = true needs TRADING_ALLOW_LIVE there, too (docs/alpaca.md)")
    return found


def _shared(pairs: Iterable[tuple[str, object]]) -> list[list[str]]:
    holders: Mapping[object, list[str]] = defaultdict(list)
    for name, key in pairs:
        holders[key].append(name)
    return [names for names in holders.values() if len(names) > 1]
