"""Trade an Alpaca account: from settings to a running engine over a real broker, or over the local server."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine, select

from trading_platform.alpaca.clock import FollowedClock, SkewGuard, check_skew
from trading_platform.alpaca.corporate_actions import ask_actions
from trading_platform.alpaca.http import AlpacaHttp, access_from
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.alpaca.trade_stream import LOOKS_APART, TradeStream, stream_url
from trading_platform.brokers.alpaca_broker import PREFIX, AlpacaBroker
from trading_platform.brokers.alpaca_venue import AlpacaVenue
from trading_platform.brokers.bare_stops import BareStops, NoJournal
from trading_platform.brokers.eve_events import ExDateSource
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.adoption import has_our_risk
from trading_platform.brokers.reconciliation.saved_account import Memory, save
from trading_platform.brokers.venue import RiskDoor
from trading_platform.configuration.environment import is_loopback
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError, MarketDataError, OperatorNeededError, RepairDatabaseError
from trading_platform.core.ports import BrokerAccount, Checkpoint, Clock
from trading_platform.core.session import Rules
from trading_platform.engine.account_notices import account_notices
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.evening_check import EveningCheck
from trading_platform.machine.clocks import EngineClock, WallClock
from trading_platform.machine.heartbeat import HEARTBEAT_FILE, Heartbeat
from trading_platform.market_data.alpaca_data import AlpacaMarketData
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import wanted_tickers
from trading_platform.reporting.waiting import waiting
from trading_platform.runtime.account_choice import asked_account, open_account
from trading_platform.runtime.alerting import NobodyListens, open_post, posted, telling_watchdog
from trading_platform.runtime.build import build_engine, consent_due
from trading_platform.runtime.instructions import Instructions
from trading_platform.runtime.live_loop import LiveLoop, due_session, run_live
from trading_platform.runtime.open_run import kept_capital, kept_strategies, live_market, live_run, set_notices
from trading_platform.runtime.restored import notice_older_copy, take_up_bare_stops, take_up_lost_orders
from trading_platform.runtime.run_screen import LiveScreen
from trading_platform.storage import models as m
from trading_platform.storage.difference_store import DifferenceStore
from trading_platform.storage.operator_requests import entry_refuser, has_open_wishes, stop_answerer
from trading_platform.storage.order_journal import DatabaseJournal
from trading_platform.storage.order_mark import OrderMark
from trading_platform.storage.repository import Repository
from trading_platform.storage.run_status import resting
from trading_platform.storage.runs import is_cut_off

log = logging.getLogger("trading_platform.runtime.trade_alpaca")

SHORTEST_APPROVAL = 60.0  # seconds: an order's retries and look-ups take that long
CLOCK_SECONDS = 30.0  # between comparisons of a clock that is wrong
POLL_SECONDS = 0.2  # between looks at a simulated clock


class StopGuard:
    """Keeps stops while the engine waits for its storage: those of the account as its last life has seen it."""

    def __init__(self) -> None:
        self.stops: BareStops | None = None

    def keep(self) -> None:
        """Give a stop to what has none; nothing before the account was first read.

        Raises
        ------
        TradingPlatformError
            The account cannot be read.
        """
        if self.stops is not None:
            self.stops.keep()


def trade_alpaca(given: Instructions, checkpoint: Checkpoint, guard: StopGuard | None = None) -> int:
    """Trade the account that the keys open until stopped (or for one scan); return the exit code.

    With a local server the engine lives on the server's clock, and scans whenever that has moved.

    Raises
    ------
    FixConfigError
        A local Alpaca beside bars that are not its own.
    """
    with ExitStack() as closing:
        return _trade(given, checkpoint, guard, closing)


def _trade(given: Instructions, checkpoint: Checkpoint, guard: StopGuard | None, closing: ExitStack) -> int:
    options, settings, config, rules = given.options, given.settings, given.config, given.rules
    _check_approvals(given.limits)
    http = AlpacaHttp(access_from(settings, live=options.live))
    reader = AlpacaReader(http)
    account = open_account(reader, settings, live=options.live, name=config.account.name)
    is_local = is_loopback(settings.alpaca_base_url)
    clock: EngineClock
    asking: Clock
    if is_local:
        if config.data.source != "alpaca":
            raise FixConfigError(
                f"{settings.alpaca_base_url} is a local Alpaca with a market of its own, and {config.data.source} bars "
                "are not of it: leave out [data] source, or say --source alpaca"
            )
        clock = FollowedClock(reader)
        asking = clock.asking
        config = local_universe(config, reader)
    else:
        _agree_on_time(reader, once=options.once)
        clock = asking = WallClock()
    calendar = NyseCalendar()
    mode = "alpaca_live" if options.live else "alpaca_paper"
    strategies = kept_strategies(config, given.strategies, mode, account.account_id)
    load = functools.partial(live_market, config, settings, rules, calendar, strategies, now=clock.now)
    tickers = wanted_tickers(config) or ()
    with waiting(f"asking {config.data.source} for the bars of {len(tickers)} tickers", shown=not options.json):
        prepared = load(due_session(calendar, clock.now()))
    # what the account holds now is nobody's beginning: an engine with positions starts whatever its cash is said to be
    capital = kept_capital(config, mode, account.account_id) or _managed_cash(account)
    config = replace(config, engine=replace(config.engine, initial_capital=capital))
    database, run = live_run(config, given.limits, prepared, mode, account.account_id)
    closing.callback(database.dispose)  # whatever ends this life: a file system that is open cannot be mended
    _open_book(database, run.run_id, rules, prepared, reader, clock.now())
    was_cut_off = is_cut_off(database, run.run_id)
    notices = account_notices(config, capital, prepared.panel.close[-1])
    for notice in (*notices, *set_notices(prepared, strategies, given.strategies)):
        log.warning("%s", notice)

    skew = SkewGuard(reader, clock.now)
    compare_clocks = (lambda: None) if is_local else skew.compare
    venues: list[AlpacaVenue] = []
    ex_dates = ExDateSource(functools.partial(ask_actions, http), rules.costs.special_dividend)
    quotes = AlpacaMarketData(http, cache_dir=None, calendar=calendar)

    def open_venue(door: RiskDoor) -> AlpacaVenue:
        journal = DatabaseJournal(database, run.run_id, clock.now)
        notice_older_copy(database, run.run_id, journal, reader, PREFIX, clock.now())
        take_up_lost_orders(database, run.run_id, journal, reader, prepared, PREFIX)
        if was_cut_off or (guard is not None and guard.stops is not None):
            take_up_bare_stops(database, run.run_id, journal, reader, prepared, PREFIX, clock.now())
        broker = AlpacaBroker(http, door, journal, clock, time.sleep, checkpoint=checkpoint)
        broker.assets(prepared.panel.tickers)
        book = AccountBook(rules, capital, prepared.panel.tickers, prepared.strategies)
        store = DifferenceStore(database, run.run_id)
        memory = Memory(clock.now(), {})
        venue = AlpacaVenue(
            broker,
            journal,
            store,
            door,
            book,
            memory,
            calendar,
            clock,
            quotes.latest_prices,
            checkpoint=checkpoint,
            compare_clocks=compare_clocks,
            ex_dates=ex_dates,
            refuses=entry_refuser(database, run.run_id),
        )
        venues.append(venue)
        if guard is not None:
            bare = AlpacaBroker(http, door, NoJournal(), clock, time.sleep)
            guard.stops = BareStops(bare, door, book, calendar, asking, PREFIX)
        return venue

    post = open_post(settings, config, database, run.run_id, mode, config.account.name or account.account_id)
    engine, lock = build_engine(
        prepared,
        database,
        run.run_id,
        config,
        rules,
        given.allocator(strategies, prepared.strategies),
        clock,
        live=True,
        open_broker=open_venue,
        journaled=True,
    )
    evening = EveningCheck(
        engine.repository,
        rules,
        venues[0].account_book,
        lambda: engine.risk_manager.account,
        calendar.next_session,
        clock.now,
        ex_dates,
    )
    url = stream_url(settings.alpaca_base_url, live=options.live)
    stream = TradeStream(url, http.access.key_id, http.access.secret_key, apart=0.0 if is_local else LOOKS_APART)
    listens = config.broker.trade_updates and not options.once
    heart = Heartbeat(lock, settings.log_dir / HEARTBEAT_FILE, run.run_id)
    screen = LiveScreen(database, run.run_id, as_json=options.json, quiet=options.quiet)
    loop = LiveLoop(
        engine,
        calendar,
        asking,
        heart,
        load,
        config.engine.scan_interval_seconds,
        poll=POLL_SECONDS if is_local else None,
        on_scan=screen.watch,
        reading=lambda: venues[0].reconciled_at,
        asked=lambda: stream.rings() or has_open_wishes(database, run.run_id),
        checkpoint=checkpoint,
        ears=post or NobodyListens(),
        standing=lambda: venues[0].states(),
        watchdog=telling_watchdog(post),
        glance=lambda now: venues[0].glance(now) or consent_due(engine, now),
        evening=evening.look,
        brokers_now=None if is_local else skew.brokers_now,
        told_to_stop=stop_answerer(database, run.run_id, clock.now),
    )
    welcome = f"trading Alpaca account {account.account_id}, run {run.run_id}; Ctrl-C stops, orders stay at Alpaca"
    with posted(post, drained=options.once), stream if listens else nullcontext():
        code = run_live(
            engine,
            lock,
            prepared,
            loop,
            welcome,
            once=options.once,
            quiet=screen.quiet,
            farewell=functools.partial(_farewell, database, run.run_id),
        )
    screen.conclude()
    return code


def _farewell(database: Engine, run_id: int) -> str:
    """Return what rests at Alpaca when the engine goes, as far as the database tells."""
    try:
        held = resting(database, run_id)
    except RepairDatabaseError as error:
        rests = f"What rests at Alpaca stays there ({error})"
    else:
        rests = f"{held.words()} at Alpaca"
    return f"Stopped. {rests}; nobody watches it until you start the engine again."


def _agree_on_time(reader: AlpacaReader, *, once: bool) -> None:
    """Wait until this machine's clock agrees with Alpaca's: after a start of the machine it may need some minutes.

    Raises
    ------
    OperatorNeededError
        It does not agree, and a single look (`once`) is not worth waiting for.
    """
    told = False
    while True:
        try:
            check_skew(reader)
        except OperatorNeededError as error:
            if once:
                raise
            if not told:
                log.error("%s; asked again every %.0f s", error, CLOCK_SECONDS)
            told = True
            time.sleep(CLOCK_SECONDS)
        else:
            return


def local_universe(config: TradingConfig, reader: AlpacaReader) -> TradingConfig:
    """Return `config` with all that a local server has as its universe, unless it names one."""
    if config.universe.tickers or config.universe.file:
        return config
    return replace(config, universe=replace(config.universe, tickers=tuple(sorted(reader.listed()))))


def _check_approvals(limits: Mapping[str, object]) -> None:
    seconds = float(str(limits["approval_seconds"]))
    if not seconds >= SHORTEST_APPROVAL:
        raise FixConfigError(
            f"approval_seconds in [risk] is {seconds:g}: an order's retries at Alpaca may take "
            f"{SHORTEST_APPROVAL:g} s; raise it (default 86400)"
        )


def _managed_cash(account: BrokerAccount) -> float:
    """Return the dollars that the engine begins with: the owner's own shares stay his."""
    if account.cash is None or not account.cash > 0.0:
        cash = "not told" if account.cash is None else f"${account.cash:,.2f}"
        raise OperatorNeededError(
            f"Alpaca account {account.account_id}: cash is {cash}, so there is nothing to trade with; deposit some"
        )
    return account.cash


def _refuse_ours(reader: AlpacaReader) -> None:
    """Refuse to begin on an account in which this engine has orders or shares: another database knows of them.

    Raises
    ------
    OperatorNeededError
        It has; the message says the cure.
    """
    held = {position.ticker: position.quantity for position in reader.positions()}
    ours = has_our_risk(reader.own_orders(PREFIX), held)
    if ours:
        names = ", ".join(ours[:6]) + (f" and {len(ours) - 6} more" if len(ours) > 6 else "")
        raise OperatorNeededError(
            f"the account holds orders or shares of this engine ({names}) that this database knows nothing of: name "
            "the database they were traded with (--db), restore a backup of it, or, if it is lost, run `adopt`"
        )


def _open_book(
    database: Engine,
    run_id: int,
    rules: Rules,
    prepared: EngineMarket,
    reader: AlpacaReader,
    now: datetime,
) -> None:
    """Save the book of an account that this run has not traded before: its cash; shares in it are the owner's.

    It is saved before the first order, so that whatever happens to that order is found by reading on from here.
    """
    repository = Repository(database, run_id)
    if repository.load_book() is not None:
        return
    if len(prepared.sessions) < 2:
        raise MarketDataError(f"{prepared.panel.source} has bars of one session only: begin later, with some history")
    with database.connect() as connection:
        known = connection.execute(select(m.Order.id).where(m.Order.run_id == run_id).limit(1)).first()
    if known is not None:
        raise OperatorNeededError(f"run {run_id} has orders and no book: restore a backup of the database")
    _refuse_ours(reader)
    book = AccountBook(rules, _managed_cash(asked_account(reader)), prepared.panel.tickers, prepared.strategies)
    book.manual = {position.ticker: position.quantity for position in reader.positions()}
    for ticker, quantity in book.manual.items():
        log.warning("%g shares of %s are in the account already: they are yours, and stay untouched", quantity, ticker)
    repository.save_book(save(book, Memory(now, {}), prepared.sessions[-2]), now)
    repository.commit()
    OrderMark(database, run_id).forget()  # of a database that stood here before
