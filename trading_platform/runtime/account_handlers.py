"""Handlers of commands that look at accounts and runs, and leave operators' words: from what was given to the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading_platform.core.errors import FixConfigError
from trading_platform.runtime.command_parser import Given, Work

if TYPE_CHECKING:  # SQLAlchemy is nothing to --help
    from trading_platform.storage.run_targets import Target


def status_work(given: Given) -> Work:
    """Return the work of ``status``."""
    from trading_platform.operations.commands import Place, status

    place, target, as_json = Place(given.text("--db"), given.file("--config")), _target(given), given.flag("--json")
    return lambda: status(place, target, as_json=as_json)


def ask_work(given: Given) -> Work:
    """Return the work of ``halt``, ``resume``, ``flatten``, ``pause``, ``unpause``; without a reason FixConfigError."""
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


def answer_work(given: Given) -> Work:
    """Return the work of ``consent`` and ``veto``."""
    kind, reason, as_json = given.command.words, given.text("--reason"), given.flag("--json")
    place, target = (given.text("--db"), given.file("--config")), _target(given)
    ticker, waits = given.subjects[0].upper() if given.subjects else None, not given.flag("--no-wait")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.operations.consent_commands import Said, answer

        return answer(Place(*place), Said(kind, ticker, reason or "said in the terminal"), target, waits, as_json)

    return work


def runs_list_work(given: Given) -> Work:
    """Return the work of ``runs list``."""
    from trading_platform.operations.commands import Place, list_runs

    place, as_json = Place(given.text("--db"), given.file("--config")), given.flag("--json")
    return lambda: list_runs(place, as_json=as_json)


def runs_show_work(given: Given) -> Work:
    """Return the work of ``runs show``."""
    from trading_platform.operations.commands import Place, status
    from trading_platform.storage.run_targets import Target

    place, as_json = Place(given.text("--db"), given.file("--config")), given.flag("--json")
    target = Target(run=_run_id(given))
    return lambda: status(place, target, as_json=as_json)


def runs_mark_work(given: Given) -> Work:
    """Return the work of ``runs tag`` and ``runs note``."""
    from trading_platform.operations.commands import Place, mark_run

    place, run_id, text = Place(given.text("--db"), given.file("--config")), _run_id(given), given.subjects[1]
    column = given.command.words.split()[1]
    return lambda: mark_run(place, run_id, column, text)


def runs_delete_work(given: Given) -> Work:
    """Return the work of ``runs delete``."""
    from trading_platform.operations.commands import Place, delete_run

    place, run_id = Place(given.text("--db"), given.file("--config")), _run_id(given)
    sure = given.flag("--yes")
    return lambda: delete_run(place, run_id, sure=sure)


def page_work(given: Given) -> Work:
    """Return the work of ``page``."""
    place, run_id = (given.text("--db"), given.file("--config")), _run_id(given)
    opens, as_json = given.flag("--open"), given.flag("--json")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.operations.run_pages import page

        return page(Place(*place), run_id, opens=opens, as_json=as_json)

    return work


def compare_work(given: Given) -> Work:
    """Return the work of ``compare``; FixConfigError is raised for options that do not fit together."""
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


def backup_work(given: Given) -> Work:
    """Return the work of ``backup``; FixConfigError is raised for options that do not fit together."""
    from pathlib import Path

    from trading_platform.operations.commands import Place
    from trading_platform.operations.safekeeping import DEFAULT_FOLDER, KEPT, backup

    place = Place(given.text("--db"), given.file("--config"))
    folder = Path(given.subjects[0]) if given.subjects else DEFAULT_FOLDER
    keep, as_json = given.whole("--keep"), given.flag("--json")
    if keep is not None and keep < 1:
        raise FixConfigError(f"--keep must be 1 or more, was {keep}")
    return lambda: backup(place, folder, keep=KEPT if keep is None else keep, as_json=as_json)


def restore_work(given: Given) -> Work:
    """Return the work of ``restore``."""
    from pathlib import Path

    from trading_platform.operations.commands import Place
    from trading_platform.operations.safekeeping import restore

    place, file, sure = Place(given.text("--db"), given.file("--config")), Path(given.subjects[0]), given.flag("--yes")
    return lambda: restore(place, file, sure=sure)


def db_repair_work(given: Given) -> Work:
    """Return the work of ``db repair``."""
    from trading_platform.operations.commands import Place
    from trading_platform.operations.database_repair import repair_database

    place, sure, as_json = Place(given.text("--db"), given.file("--config")), given.flag("--yes"), given.flag("--json")
    return lambda: repair_database(place, sure=sure, as_json=as_json)


def db_copy_work(given: Given) -> Work:
    """Return the work of ``db copy``."""
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
