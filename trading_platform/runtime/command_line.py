"""The engine's command line. What a command does is imported when it is needed.

``--help`` and mistakes in options answer before the compiler, pandas or a broker's client is imported. Each handler
reads the options of its command and returns the work; an option that was given and that it did not read is a fault of
the program, found before anything is done.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.machine.packages import check_at_start
from trading_platform.machine.plain_warnings import plainly_warned
from trading_platform.machine.stop_signals import INTERRUPTED, StoppedNowError, stop_at_start
from trading_platform.runtime.command_help import help_text
from trading_platform.runtime.command_parser import Given, parse

if TYPE_CHECKING:  # SQLAlchemy is nothing to --help
    from trading_platform.runtime.trade_settings import TradeOptions
    from trading_platform.storage.run_targets import Target

Work = Callable[[], int]


def main() -> NoReturn:
    """Run the process's own command line and end the process with its exit code."""
    check_at_start()
    for name in ("stdin", "stdout", "stderr"):  # closed by whoever started us (cron, >&-): then nobody reads or types
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has left: no second complaint at exit
        code = 1
    if code == INTERRUPTED:  # a download in another thread would keep the process until its network gives up
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def run(words: Sequence[str] | None = None) -> int:
    """Run the command that `words` (default: the process's own) name, and return the exit code."""
    try:
        with stop_at_start(), plainly_warned(partial(complain, lead="note: ")):
            said = list(sys.argv[1:] if words is None else words)
            if said[:1] == ["data"]:  # has a command line of its own: it needs no account
                from trading_platform.operations.data_commands import data_main

                return data_main(said[1:])
            if "--version" in said:
                print(version_text())  # noqa: T201 - the command's answer
                return 0
            given = parse(said)
            if given.wants_help:
                print(help_text(given.command))  # noqa: T201 - the command's answer
                return 0
            return bound(given)()
    except TradingPlatformError as error:
        complain(str(error))
        return error.exit_code
    except StoppedNowError as stop:
        complain(str(stop), "")
        return INTERRUPTED
    except KeyboardInterrupt:
        complain("Stopped before anything was done; nothing has changed, the same command starts again.", "")
        return INTERRUPTED


def version_text() -> str:
    """Return which program this is: its version, that of its database, and of its Python."""
    from trading_platform import __version__
    from trading_platform.storage.schema import HEAD

    return f"trading-platform {__version__} (database {HEAD}, Python {sys.version.split()[0]})"


def bound(given: Given) -> Work:
    """Return the work of a command, with its options in it.

    Raises
    ------
    FixConfigError
        An option has a value that the command cannot use.
    """
    work = HANDLERS[given.command.words](given)
    if left := given.unread():
        raise AssertionError(f"{given.command.words!r} does nothing with {', '.join(left)}: a fault of the program")
    return work


def complain(text: str, lead: str = "error: ") -> None:
    """Print a message on standard error, its paragraphs wrapped at words where a terminal is narrow."""
    from trading_platform.reporting.wrapping import wrapped

    print(wrapped(f"{lead}{text}", sys.stderr), file=sys.stderr)  # noqa: T201 - the one place where a failure is said


def _trade(given: Given) -> Work:
    from trading_platform.runtime.trade_settings import TradeOptions

    is_replay, is_trade = given.command.words == "replay", given.command.words == "trade"
    tickers = (given.text("--tickers") or "").split(",")
    options = TradeOptions(
        command=given.command.words,
        data_dirs=() if is_trade else given.files("--data-dir"),
        tickers=tuple(ticker.strip().upper() for ticker in tickers if ticker.strip()),
        start=None if is_trade else given.day("--start"),
        end=None if is_trade else given.day("--end"),
        fetch_from=None if is_trade else given.day("--from"),
        fetch_to=None if is_trade else given.day("--to"),
        capital=given.number("--capital"),
        seed=None if is_trade else given.whole("--seed"),
        database=given.text("--db"),
        config=given.file("--config"),
        cost_bps=given.number("--cost-bps"),
        fills=given.text("--fills"),
        vix=given.text("--vix"),
        allocation=given.text("--allocation"),
        source=given.text("--source"),
        once=given.flag("--once"),
        live=False if is_replay else given.flag("--live"),
        json=given.flag("--json"),
        quiet=given.flag("--quiet"),
        page=False if is_trade else not given.flag("--no-page"),
        opens=False if is_trade else given.flag("--open"),
    )
    _check_page(options)

    def work() -> int:
        from trading_platform.runtime.trade import trade

        return trade(options)

    return work


def _check_page(options: TradeOptions) -> None:
    if options.opens and not options.page:
        raise FixConfigError("--open shows the page and --no-page writes none: give one of them")


def _evaluate(given: Given) -> Work:
    from trading_platform.runtime.trade_settings import TradeOptions

    tickers = (given.text("--tickers") or "").split(",")
    trade = TradeOptions(
        command="evaluate",
        data_dirs=given.files("--data-dir"),
        tickers=tuple(ticker.strip().upper() for ticker in tickers if ticker.strip()),
        start=None,
        end=None,
        fetch_from=None,
        fetch_to=None,
        capital=given.number("--capital"),
        seed=None,
        database=None,
        config=given.file("--config"),
        cost_bps=given.number("--cost-bps"),
        fills=given.text("--fills"),
        vix=given.text("--vix"),
        allocation=None,
        source=given.text("--source"),
        once=False,
        live=False,
        json=given.flag("--json"),
        quiet=given.flag("--quiet"),
        page=not given.flag("--no-page"),
        opens=given.flag("--open"),
    )
    _check_page(trade)
    start, end, jobs = given.day("--start"), given.day("--end"), given.whole("--jobs")
    universes, size, seed = given.whole("--universes"), given.whole("--universe-size"), given.whole("--seed")
    cluster = given.text("--cluster") or ""

    def work() -> int:
        from trading_platform.runtime.evaluate import EvaluateOptions, evaluate
        from trading_platform.work.job import Place, usual_jobs

        return evaluate(
            EvaluateOptions(
                trade,
                start,
                end,
                20 if universes is None else universes,
                60 if size is None else size,
                0 if seed is None else seed,
                Place(usual_jobs() if jobs is None else jobs, cluster),
            )
        )

    return work


def _search(given: Given) -> Work:
    from pathlib import Path

    from trading_platform.runtime.trade_settings import TradeOptions

    what, plan = given.command.words, Path(given.subjects[0])
    is_run = what == "search"
    tickers = ((given.text("--tickers") if is_run else None) or "").split(",")
    trade = TradeOptions(
        command=what,
        data_dirs=given.files("--data-dir") if is_run else (),
        tickers=tuple(ticker.strip().upper() for ticker in tickers if ticker.strip()),
        config=given.file("--config"),
        source=given.text("--source") if is_run else None,
        vix=given.text("--vix") if is_run else None,
        cost_bps=given.number("--cost-bps") if is_run else None,
        fills=given.text("--fills") if is_run else None,
        capital=given.number("--capital") if is_run else None,
        json=False if what == "search adopt" else given.flag("--json"),
        quiet=given.flag("--quiet") if is_run else False,
    )
    jobs, cluster = (given.whole("--jobs"), given.text("--cluster") or "") if is_run else (1, "")
    sure = given.flag("--yes") if what == "search adopt" else False

    def work() -> int:
        from trading_platform.runtime import search
        from trading_platform.work.job import Place, usual_jobs

        options = search.SearchOptions(trade, plan, Place(usual_jobs() if jobs is None else jobs, cluster), sure)
        return {"search": search.search, "search show": search.show, "search adopt": search.adopt}[what](options)

    return work


def _status(given: Given) -> Work:
    from trading_platform.operations.commands import Place, status

    place, target, as_json = Place(given.text("--db"), given.file("--config")), _target(given), given.flag("--json")
    return lambda: status(place, target, as_json=as_json)


def _ask(given: Given) -> Work:
    from trading_platform.operations.commands import Asked, Place, ask

    kind = given.command.words
    reason = given.text("--reason")
    if reason is None or not reason.strip():
        raise FixConfigError(f'{kind} needs --reason "why": it is recorded with your name')
    subject = given.subjects[0] if given.subjects else None
    asked = Asked(
        kind,
        reason,
        subject.upper() if subject is not None and kind == "flatten" else subject,
        _target(given),
        wait=not given.flag("--no-wait"),
        sure=kind != "flatten" or given.flag("--yes"),
    )
    place = Place(given.text("--db"), given.file("--config"))
    return lambda: ask(place, asked)


def _answer(given: Given) -> Work:
    kind, reason, as_json = given.command.words, given.text("--reason"), given.flag("--json")
    place, target = (given.text("--db"), given.file("--config")), _target(given)
    ticker, waits = given.subjects[0].upper() if given.subjects else None, not given.flag("--no-wait")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.operations.consent_commands import Said, answer

        return answer(Place(*place), Said(kind, ticker, reason or "said in the terminal"), target, waits, as_json)

    return work


def _telegram(given: Given) -> Work:
    place, api = (given.text("--db"), given.file("--config")), given.text("--bot-api")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.runtime.telegram_command import serve_telegram

        return serve_telegram(Place(*place), api)

    return work


def _mcp(given: Given) -> Work:
    place = (given.text("--db"), given.file("--config"))

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.runtime.mcp_command import serve_mcp

        return serve_mcp(Place(*place))

    return work


def _runs_list(given: Given) -> Work:
    from trading_platform.operations.commands import Place, list_runs

    place, as_json = Place(given.text("--db"), given.file("--config")), given.flag("--json")
    return lambda: list_runs(place, as_json=as_json)


def _runs_show(given: Given) -> Work:
    from trading_platform.operations.commands import Place, status
    from trading_platform.storage.run_targets import Target

    place, as_json = Place(given.text("--db"), given.file("--config")), given.flag("--json")
    target = Target(run=_run_id(given))
    return lambda: status(place, target, as_json=as_json)


def _runs_mark(given: Given) -> Work:
    from trading_platform.operations.commands import Place, mark_run

    place, run_id, text = Place(given.text("--db"), given.file("--config")), _run_id(given), given.subjects[1]
    column = given.command.words.split()[1]
    return lambda: mark_run(place, run_id, column, text)


def _runs_delete(given: Given) -> Work:
    from trading_platform.operations.commands import Place, delete_run

    place, run_id = Place(given.text("--db"), given.file("--config")), _run_id(given)
    sure = given.flag("--yes")
    return lambda: delete_run(place, run_id, sure=sure)


def _page(given: Given) -> Work:
    place, run_id = (given.text("--db"), given.file("--config")), _run_id(given)
    opens, as_json = given.flag("--open"), given.flag("--json")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.operations.run_pages import page

        return page(Place(*place), run_id, opens=opens, as_json=as_json)

    return work


def _compare(given: Given) -> Work:
    place, runs = (given.text("--db"), given.file("--config")), [_run_number(given, text) for text in given.subjects]
    shown = not given.flag("--no-page")
    opens, as_json = given.flag("--open"), given.flag("--json")
    if opens and not shown:
        raise FixConfigError("--open shows the page and --no-page writes none: give one of them")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.operations.run_pages import compare

        return compare(Place(*place), runs, with_page=shown, opens=opens, as_json=as_json)

    return work


def _doctor(given: Given) -> Work:
    database, config = given.text("--db"), given.file("--config")
    live, as_json = given.flag("--live"), given.flag("--json")
    broker, sure = given.flag("--broker"), given.flag("--yes")

    def work() -> int:
        from trading_platform.machine.clocks import utc_now
        from trading_platform.operations.doctor import doctor

        return doctor(database, config, utc_now, live=live, as_json=as_json, broker=broker, sure=sure)

    return work


def _backup(given: Given) -> Work:
    from pathlib import Path

    from trading_platform.operations.commands import Place
    from trading_platform.operations.safekeeping import DEFAULT_FOLDER, KEPT, backup

    place = Place(given.text("--db"), given.file("--config"))
    folder = Path(given.subjects[0]) if given.subjects else DEFAULT_FOLDER
    keep, as_json = given.whole("--keep"), given.flag("--json")
    if keep is not None and keep < 1:
        raise FixConfigError(f"--keep must be 1 or more, was {keep}")
    return lambda: backup(place, folder, keep=KEPT if keep is None else keep, as_json=as_json)


def _restore(given: Given) -> Work:
    from pathlib import Path

    from trading_platform.operations.commands import Place
    from trading_platform.operations.safekeeping import restore

    place, file, sure = Place(given.text("--db"), given.file("--config")), Path(given.subjects[0]), given.flag("--yes")
    return lambda: restore(place, file, sure=sure)


def _desk(given: Given) -> Work:
    place = given.text("--db"), given.file("--config")
    port, host, names = given.whole("--port"), given.text("--host"), given.text("--name") or ""
    file, behind_tls, metrics = given.file("--password-file"), given.flag("--behind-tls"), given.flag("--metrics")

    def work() -> int:
        from trading_platform.desk.serve import LOCAL, PORT, DeskOptions, serve
        from trading_platform.operations.commands import Place

        called = tuple(name.strip() for name in names.split(",") if name.strip())
        at = (PORT if port is None else port, host or LOCAL)
        return serve(DeskOptions(Place(*place), *at, called, file, behind_tls, metrics))

    return work


def _desk_person(given: Given) -> Work:
    name, role, file = given.subjects[0], given.text("--role"), given.file("--password-file")
    is_token = given.command.words == "desk token"

    def work() -> int:
        from trading_platform.desk.serve import PASSWORD_FILE, add_password, add_token

        return (add_token if is_token else add_password)(file or PASSWORD_FILE, name, role)

    return work


def _alerts_test(given: Given) -> Work:
    from trading_platform.operations.try_alerts import alerts_test

    config, as_json = given.file("--config"), given.flag("--json")
    return lambda: alerts_test(config, as_json=as_json)


def _adopt(given: Given) -> Work:
    options, sure = _one_look(given), given.flag("--yes")

    def work() -> int:
        from trading_platform.runtime.trade import adopt_broker_account

        return adopt_broker_account(options, sure=sure)

    return work


def _strategies_list(given: Given) -> Work:
    config, as_json = given.file("--config"), given.flag("--json")

    def work() -> int:
        from trading_platform.runtime.strategy_commands import list_strategies

        return list_strategies(config, as_json=as_json)

    return work


def _upgrade(given: Given) -> Work:
    options, sure = _one_look(given), given.flag("--yes")
    plan_only, reason = given.flag("--plan"), given.text("--reason")
    if plan_only and sure:
        raise FixConfigError("--plan changes nothing, and --yes agrees to the change: one of the two")

    def work() -> int:
        from trading_platform.runtime.trade import upgrade_account

        return upgrade_account(options, plan_only=plan_only, sure=sure, reason=reason)

    return work


def _strategies_test(given: Given) -> Work:
    name, config, folders = given.subjects[0], given.file("--config"), given.files("--data-dir")
    as_json = given.flag("--json")

    def work() -> int:
        from trading_platform.runtime.strategy_commands import test_strategy

        return test_strategy(name, config, folders, as_json=as_json)

    return work


def _new_strategy(given: Given) -> Work:
    name, config = given.subjects[0], given.file("--config")

    def work() -> int:
        from pathlib import Path

        from trading_platform.configuration.trading_config import config_path, load_config
        from trading_platform.operations.new_files import new_strategy

        folder, here = Path(load_config(config_path(config)).strategies.folder), Path(__file__).parents[2]
        is_installed = here.name == "site-packages"
        return new_strategy(name, folder, program(), None if is_installed else here)

    return work


def _init(given: Given) -> Work:
    from pathlib import Path

    from trading_platform.operations.new_files import init_folder

    folder = Path(given.subjects[0])
    return lambda: init_folder(folder, program(is_elsewhere=True))


def program(*, is_elsewhere: bool = False) -> str:
    """Return how this program was called, for words that people copy; `is_elsewhere` into another folder."""
    called = sys.argv[0] if sys.argv else ""
    if not called.endswith(".py"):
        return "trading-engine"
    return f"python {shlex.quote(os.path.abspath(called) if is_elsewhere else called)}"  # noqa: PTH100 - no links followed


def _one_look(given: Given) -> TradeOptions:
    """Return the options of a command that looks at an account once, and ends."""
    from trading_platform.runtime.trade_settings import TradeOptions

    tickers = (given.text("--tickers") or "").split(",")
    return TradeOptions(
        command="trade",
        tickers=tuple(ticker.strip().upper() for ticker in tickers if ticker.strip()),
        database=given.text("--db"),
        config=given.file("--config"),
        source=given.text("--source"),
        once=True,
        live=given.flag("--live"),
        json=given.flag("--json"),
    )


def _completion(given: Given) -> Work:
    from trading_platform.runtime.completion import completion_script

    script = completion_script(given.subjects[0])

    def work() -> int:
        print(script)  # noqa: T201 - the command's answer
        return 0

    return work


def _db_repair(given: Given) -> Work:
    from trading_platform.operations.commands import Place
    from trading_platform.operations.database_repair import repair_database

    place, sure, as_json = Place(given.text("--db"), given.file("--config")), given.flag("--yes"), given.flag("--json")
    return lambda: repair_database(place, sure=sure, as_json=as_json)


def _db_copy(given: Given) -> Work:
    from trading_platform.operations.safekeeping import copy

    source, target = given.subjects
    as_json = given.flag("--json")
    return lambda: copy(source, target, as_json=as_json)


def _target(given: Given) -> Target:
    from trading_platform.storage.run_targets import Target

    return Target(given.whole("--run"), given.text("--account"), given.flag("--all"))


def _run_id(given: Given) -> int:
    return _run_number(given, given.subjects[0])


def _run_number(given: Given, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FixConfigError(f"{given.command.words} needs a run's number, was {text!r}") from None


HANDLERS: Mapping[str, Callable[[Given], Work]] = {
    "search": _search,
    "search show": _search,
    "search adopt": _search,
    "evaluate": _evaluate,
    "": _trade,
    "trade": _trade,
    "replay": _trade,
    "status": _status,
    "halt": _ask,
    "resume": _ask,
    "flatten": _ask,
    "pause": _ask,
    "unpause": _ask,
    "stop": _ask,
    "telegram": _telegram,
    "mcp": _mcp,
    "consent": _answer,
    "veto": _answer,
    "runs list": _runs_list,
    "runs show": _runs_show,
    "runs tag": _runs_mark,
    "runs note": _runs_mark,
    "runs delete": _runs_delete,
    "page": _page,
    "compare": _compare,
    "runs compare": _compare,
    "doctor": _doctor,
    "backup": _backup,
    "restore": _restore,
    "desk": _desk,
    "desk password": _desk_person,
    "desk token": _desk_person,
    "alerts test": _alerts_test,
    "completion": _completion,
    "adopt": _adopt,
    "upgrade": _upgrade,
    "db repair": _db_repair,
    "db copy": _db_copy,
    "strategies list": _strategies_list,
    "strategies test": _strategies_test,
    "new strategy": _new_strategy,
    "init": _init,
}
