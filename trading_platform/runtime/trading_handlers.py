"""Handlers of commands that trade, judge or search: from what was given to the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading_platform.core.errors import FixConfigError
from trading_platform.runtime.command_parser import Given, Work

if TYPE_CHECKING:  # SQLAlchemy is nothing to --help
    from trading_platform.runtime.trade_settings import TradeOptions


def trade_work(given: Given) -> Work:
    """Return the work of ``trade``, ``replay`` and no command at all; raise FixConfigError where options do not fit."""
    from trading_platform.runtime.trade_settings import TradeOptions

    is_replay, is_trade = given.command.words == "replay", given.command.words == "trade"
    options = TradeOptions(
        command=given.command.words,
        data_dirs=() if is_trade else given.files("--data-dir"),
        tickers=_tickers(given),
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


def evaluate_work(given: Given) -> Work:
    """Return the work of ``evaluate``; FixConfigError is raised for options that do not fit together."""
    from trading_platform.runtime.trade_settings import TradeOptions

    trade = TradeOptions(
        command="evaluate",
        data_dirs=given.files("--data-dir"),
        tickers=_tickers(given),
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


def search_work(given: Given) -> Work:
    """Return the work of ``search``, ``search show`` and ``search adopt``."""
    from pathlib import Path

    from trading_platform.runtime.trade_settings import TradeOptions

    what, plan = given.command.words, Path(given.subjects[0])
    is_run = what == "search"
    trade = TradeOptions(
        command=what,
        data_dirs=given.files("--data-dir") if is_run else (),
        tickers=_tickers(given) if is_run else (),
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


def adopt_work(given: Given) -> Work:
    """Return the work of ``adopt``."""
    options, sure = _one_look(given), given.flag("--yes")

    def work() -> int:
        from trading_platform.runtime.trade import adopt_broker_account

        return adopt_broker_account(options, sure=sure)

    return work


def upgrade_work(given: Given) -> Work:
    """Return the work of ``upgrade``; FixConfigError is raised for options that do not fit together."""
    options, sure = _one_look(given), given.flag("--yes")
    plan_only, reason = given.flag("--plan"), given.text("--reason")
    if plan_only and sure:
        raise FixConfigError("--plan changes nothing, and --yes agrees to the change: one of the two")

    def work() -> int:
        from trading_platform.runtime.trade import upgrade_account

        return upgrade_account(options, plan_only=plan_only, sure=sure, reason=reason)

    return work


def _one_look(given: Given) -> TradeOptions:
    """Return the options of a command that looks at an account once, and ends."""
    from trading_platform.runtime.trade_settings import TradeOptions

    return TradeOptions(
        command="trade",
        tickers=_tickers(given),
        database=given.text("--db"),
        config=given.file("--config"),
        source=given.text("--source"),
        once=True,
        live=given.flag("--live"),
        json=given.flag("--json"),
    )


def _check_page(options: TradeOptions) -> None:
    if options.opens and not options.page:
        raise FixConfigError("--open shows the page and --no-page writes none: give one of them")


def _tickers(given: Given) -> tuple[str, ...]:
    named = (given.text("--tickers") or "").split(",")
    return tuple(ticker.strip().upper() for ticker in named if ticker.strip())
