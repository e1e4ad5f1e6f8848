"""The daily report: what the account is worth, what the day brought and why, and what limits tomorrow.

Read-only: it never locks or changes the database and never places an order, so it can run at any time, also beside the
engine. ``python daily_report.py`` prints one JSON object; docs/daily-report.md describes it, ``--help`` the options.
"""

from __future__ import annotations

if __name__ == "__main__":  # a missing package is one line, not a traceback, and so is Ctrl-C while others are imported
    from trading_platform.machine.packages import check_at_start
    from trading_platform.machine.stop_signals import silent_until_started

    silent_until_started()
    check_at_start()

import argparse
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.core.errors import FixConfigError, RepairDatabaseError, TradingPlatformError
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.packages import require
from trading_platform.machine.standard_streams import give_up_output, open_closed_streams, write_out
from trading_platform.machine.stop_signals import started
from trading_platform.reporting.account_source import AccountSource
from trading_platform.reporting.document import Report, WholeReport, build_document
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.gather import Request, Surroundings, complete_limits, gather, nyse
from trading_platform.reporting.text import LIMIT, summary_text
from trading_platform.storage.reader import sqlite_path

if TYPE_CHECKING:
    from trading_platform.core.ports import TradingCalendar

CONFIG_FILE = Path("trading.toml")
DATABASE = "trading.db"
MODELS_DIR = "rl_models"
DEADLINE_SECONDS = 60.0
QUIET = "NO_REPLY"  # OpenClaw sends nothing when this is all there is

EXIT_CODES = """exit codes:
  0   report printed; also when trading is halted or data is missing (the alerts say so)
  1   unexpected failure
  2   wrong option, setting or run
  3   nothing to report: the broker does not answer and nothing is stored; or Telegram cannot be reached
  4   database corrupt, locked, of another program, of an older or newer version, or named and not there
  7   Telegram refuses the token or the chat
"""


class Machine(NamedTuple):
    """Where this machine keeps its things: the environment first, then trading.toml, then the defaults."""

    settings: Settings
    database: str
    is_named: bool  # by the environment or the settings file: then it must be there
    models_dir: Path
    deadline_seconds: float
    summary_characters: int


def generate_daily_report(
    database: str | Path | None = None,
    session: date | None = None,
    *,
    run: int | None = None,
    since: date | None = None,
    source: AccountSource | None = None,
    calendar: TradingCalendar | None = None,
    now: datetime | None = None,
    settings: Settings | None = None,
    deadline_seconds: float | None = None,
) -> WholeReport:
    """Return the report as JSON-ready values; docs/daily-report.md and report.schema.json describe every key.

    Parameters
    ----------
    database
        A file or SQLAlchemy URL. None: ``DATABASE_URL``, else trading.toml, else ``trading.db`` here.
    session
        Tell what was true at the close of this day, or of the last session before it. None: the newest, with the
        broker's account as it is now where there are keys.
    run
        Which run of the database. None: the account that is most real, and of these the newest.
    since
        Adds the performance since this day.
    source, calendar, now, settings
        Broker, exchange calendar, time, keys and paths: for tests, and for brokers other than Alpaca.
    deadline_seconds
        Time for everything. A broker that does not answer gets less, and what is stored stands in.

    Raises
    ------
    FixConfigError
        A setting or `run` is wrong.
    RepairDatabaseError
        The database is corrupt, locked or of another version.
    BrokerUnreachableError
        There are keys, the broker does not answer, and nothing is stored either.
    """
    machine = read_machine(settings)
    request = Request(machine.database if database is None else database, session, run, since, machine.models_dir)
    around = Surroundings(
        settings=machine.settings,
        source=source,
        calendar=nyse if calendar is None else lambda: calendar,
        now=utc_now() if now is None else now,
        deadline=time.monotonic() + (machine.deadline_seconds if deadline_seconds is None else deadline_seconds),
        limits=complete_limits,
    )
    return complete(gather(request, around), machine.summary_characters)


def format_summary(report: Report, limit: int = LIMIT) -> str:
    """Return the report as Markdown for OpenClaw and Telegram, most important first, in `limit` (3,500) characters."""
    return summary_text(report, limit)


def complete(evidence: Evidence, limit: int = LIMIT) -> WholeReport:
    """Return the whole report of `evidence`, with its ``summary`` of at most `limit` characters."""
    report = build_document(evidence)
    return {**report, "summary": format_summary(report, limit)}


def read_machine(settings: Settings | None = None, config_file: Path | None = None) -> Machine:
    """Return keys and paths of this machine; trading.toml is only parsed where there is one.

    Raises
    ------
    FixConfigError
        The environment or the file is wrong, or a named file does not exist.
    """
    settings = load_settings() if settings is None else settings
    database, models, deadline, characters = DATABASE, MODELS_DIR, DEADLINE_SECONDS, LIMIT
    is_named = False
    if config_file is not None or CONFIG_FILE.is_file():
        from trading_platform.configuration.running_tables import StorageConfig
        from trading_platform.configuration.trading_config import load_config

        config = load_config(config_file or CONFIG_FILE)
        database, models = config.storage.database_url, config.allocator.models_dir
        is_named = database != StorageConfig().database_url
        deadline, characters = config.report.deadline_seconds, config.report.summary_characters
    if settings.database_url is not None:
        database = settings.database_url.reveal()
        is_named = True
    return Machine(settings, database, is_named, settings.models_dir or Path(models), deadline, characters)


# ---------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: on success nothing goes to standard error."""
    warnings.simplefilter("ignore")  # a scheduler sends standard error to the owner's phone
    logging.getLogger().addHandler(logging.NullHandler())
    open_closed_streams()
    started()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    options = _parser().parse_args(arguments)
    try:
        _run(options)
        write_out()
    except TradingPlatformError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's answer
        return error.exit_code
    except BrokenPipeError:
        give_up_output()  # the reader has left
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - one line for the operator instead of a traceback on the phone
        print(f"error: unexpected {type(error).__name__}: {error} ({_place(error)})", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="daily_report.py",
        description="Print the daily report of the trading engine. Reads only.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--format", choices=("json", "text", "html"), default="json", help="what is printed (default: json)")
    add("--date", type=_day, metavar="DATE", help="a past session, YYYY-MM-DD: what was true at its close")
    add("--since", type=_day, metavar="DATE", help="add the performance since DATE; charts begin there")
    add("--db", metavar="FILE|URL", help="database (default: DATABASE_URL, trading.toml, trading.db)")
    add("--run", type=int, metavar="ID", help="run in the database (default: the newest, real accounts first)")
    add("--json-out", type=Path, metavar="FILE", help="also write the JSON report")
    add("--html-out", type=Path, metavar="FILE", help="also write the page with charts, one self-contained file")
    add("--png-out", type=Path, metavar="FILE", help="also write the picture")
    add("--telegram", action="store_true", help="send the text (and the picture of --png-out) to Telegram directly")
    add("--telegram-photo", action="store_true", help="send the picture, and only it, to Telegram directly")
    add("--telegram-api", type=_bot_api, metavar="URL", help="your own Bot API server (default: Telegram's)")
    add("--quiet-if-closed", action="store_true", help=f"print {QUIET} and nothing else on days without a session")
    add("--timeout", type=_seconds, metavar="SECONDS", help=f"time for everything (default: {DEADLINE_SECONDS:g})")
    add("--config", type=Path, metavar="FILE", help="settings file (default: trading.toml, if there is one)")
    return parser


def _run(options: argparse.Namespace) -> None:
    machine = read_machine(config_file=options.config)
    _check_named(options.db or (machine.database if machine.is_named else None))
    has_picture = options.png_out is not None or options.telegram_photo
    if has_picture:
        require(["matplotlib"], "--telegram-photo" if options.png_out is None else "--png-out")
    deadline = time.monotonic() + (options.timeout or machine.deadline_seconds)
    request = Request(
        database=options.db or machine.database,
        session=options.date,
        run=options.run,
        since=options.since,
        models_dir=machine.models_dir,
        history=options.format == "html" or bool(options.html_out or has_picture),
        must_know_session=options.quiet_if_closed,
    )
    evidence = gather(request, Surroundings(machine.settings, None, nyse, utc_now(), deadline, complete_limits))
    if options.quiet_if_closed and evidence.is_session is False:
        print(QUIET)  # noqa: T201 - the command's answer
        return
    report = complete(evidence, machine.summary_characters)
    as_json = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    if options.json_out is not None:
        _write(options.json_out, as_json.encode() + b"\n")
    page = _page(report, evidence) if options.format == "html" or options.html_out is not None else ""
    if options.html_out is not None:
        _write(options.html_out, page.encode())
    picture = _picture(report, evidence) if has_picture else None
    if picture is not None and options.png_out is not None:
        _write(options.png_out, picture)
    write_out({"json": as_json, "text": report["summary"], "html": page}[options.format])
    if options.telegram or options.telegram_photo:
        text = report["summary"] if options.telegram else None
        _send(text, picture, machine.settings, deadline, options.telegram_api)


def _check_named(database: str | None) -> None:
    """Raise where a database was named and is not there: a slip in a scheduler's line must not go unseen."""
    path = None if database is None else sqlite_path(database)
    if path is not None and not path.is_file():
        raise RepairDatabaseError(f"database {path} does not exist; start the engine first, or name another with --db")


def _page(report: Report, evidence: Evidence) -> str:
    from trading_platform.reporting.page import render_page

    return render_page(report, evidence)


def _picture(report: Report, evidence: Evidence) -> bytes:
    from trading_platform.reporting.picture import render_picture  # matplotlib takes a second

    return render_picture(report, evidence)


def _send(text: str | None, picture: bytes | None, settings: Settings, deadline: float, api: str | None) -> None:
    from trading_platform.reporting.telegram import API, Telegram

    if settings.telegram_bot_token is None or settings.telegram_chat_id is None:
        raise FixConfigError("sending needs TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID in the environment or .env")
    bot = Telegram(settings.telegram_bot_token, settings.telegram_chat_id, deadline=deadline, api=api or API)
    if text is not None:
        bot.send(text)
    if picture is not None:
        bot.send_photo(picture)


def _write(path: Path, content: bytes) -> None:
    """Write beside `path` and rename, so that readers see the old file or the new one, private to the owner."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(scratch, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
        scratch.replace(path)
    except OSError as error:
        raise FixConfigError(f"{path}: cannot be written ({error.strerror}); name another file") from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a day such as 2024-03-28, was {text!r}") from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= 600.0:
        raise argparse.ArgumentTypeError(f"must be seconds from 1 to 600, was {text!r}")
    return value


def _bot_api(text: str) -> str:
    host = text.partition("://")[2].partition("/")[0].partition(":")[0]
    if text.startswith("https://") or (text.startswith("http://") and host in ("127.0.0.1", "localhost")):
        return text
    raise argparse.ArgumentTypeError("must be an https URL, or http on this machine: it receives the token")


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "no place" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


if __name__ == "__main__":
    sys.exit(main())
