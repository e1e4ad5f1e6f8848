"""What one desk works with: its database, settings without keys, the time; and how it reads."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock

from sqlalchemy import Engine

from trading_platform.configuration.environment import Settings
from trading_platform.core.errors import RepairDatabaseError
from trading_platform.desk.live import file_times
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.operations.commands import Place
from trading_platform.reporting.document import Report, build_document
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.gather import Request, Surroundings, complete_limits, gather, nyse
from trading_platform.storage.database import check_schema, open_database
from trading_platform.storage.desk_pen import Pen
from trading_platform.storage.reader import Reader, T, read_database
from trading_platform.storage.run_targets import Account, all_accounts

MOST_REPORTS = 8  # kept for pages that ask in the same second
READ_SECONDS = 20.0  # after so long a page says that the database does not answer


class NotThereError(Exception):
    """What the address names is not in the database."""


@dataclass
class Desk:
    """One desk.

    Attributes
    ----------
    url : the database, a file or a URL. config_file : the settings file, if there is one.
    settings : secrets and paths of this machine, without any broker's key.
    models_dir : where the allocator's models are. now : the time, UTC. steady : seconds that only grow.
    """

    url: str
    config_file: Path | None
    settings: Settings
    models_dir: Path
    now: Callable[[], datetime]
    steady: Callable[[], float] = time.monotonic
    calendar: NyseCalendar | None = field(default=None)
    _reports: OrderedDict[object, tuple[Report, Evidence]] = field(default_factory=OrderedDict)
    _making: Lock = field(default_factory=Lock)

    @cached_property
    def pen(self) -> Pen:
        """The writing connection, for operators' words."""
        return Pen(self.url)

    @property
    def place(self) -> Place:
        """The database and the settings, as commands name them."""
        return Place(self.url, self.config_file)

    def database(self) -> Engine:
        """Open the database read-only.

        Raises
        ------
        RepairDatabaseError
            It is gone, newer, older or damaged.
        """
        engine = open_database(self.url, read_only=True)
        check_schema(engine)
        return engine

    def read(self, work: Callable[[Reader], T]) -> T:
        """Return what `work` makes of one snapshot of the database.

        Raises
        ------
        RepairDatabaseError
            It is gone, empty, locked, damaged or of another version.
        """
        result = read_database(self.url, work, READ_SECONDS)
        if result is None:
            raise RepairDatabaseError("the database holds nothing yet; start the engine once")
        return result

    def accounts(self, database: Engine | None = None) -> list[Account]:
        """Return every run, the most real first; `database` is one that is open already."""
        return all_accounts(self.database() if database is None else database, self.now())

    def account(self, run_id: int) -> Account:
        """Return one run.

        Raises
        ------
        NotThereError
            There is none of that number.
        """
        for account in self.accounts():
            if account.run_id == run_id:
                return account
        raise NotThereError(f"There is no run {run_id} in this database.")

    def report(self, run_id: int, session: date | None = None, *, history: bool = False) -> tuple[Report, Evidence]:
        """Return the daily report of a run and what it was made from; no broker is asked. Nobody may change it.

        Pages that hear of one change ask within the same second: of a database file that has not been written since
        they get the same report.
        """
        times = file_times(self.url)
        if not times:
            return self._made_report(run_id, session, history=history)
        key = (run_id, session, history, times, self.now().replace(microsecond=0))
        with self._making:
            if key not in self._reports:
                self._reports[key] = self._made_report(run_id, session, history=history)
                while len(self._reports) > MOST_REPORTS:
                    self._reports.popitem(last=False)
            return self._reports[key]

    def _made_report(self, run_id: int, session: date | None, *, history: bool) -> tuple[Report, Evidence]:
        request = Request(self.url, session, run_id, models_dir=self.models_dir, history=history, stored_only=True)
        deadline = time.monotonic() + READ_SECONDS
        calendar = nyse if self.calendar is None else lambda: self.calendar or nyse()
        around = Surroundings(self.settings, None, calendar, self.now(), deadline, complete_limits)
        evidence = gather(request, around)
        return build_document(evidence), evidence


def without_keys(settings: Settings) -> Settings:
    """Return `settings` with nothing in them by which money can be moved or messages sent."""
    return settings._replace(
        alpaca_api_key=None,
        alpaca_secret_key=None,
        telegram_bot_token=None,
        webhook_url=None,
        ping_url=None,
        apprise_urls=(),
        allow_live=False,
    )
