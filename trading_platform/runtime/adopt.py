"""`adopt`: a fresh database takes over an account on which this engine has traded before, with a database now lost.

Positions, stops, money and history come from the account (`brokers.reconciliation.adoption`). Which strategy holds a
position is in no order's id: of several it is the one whose wish for the ticker was strongest at the close that the id
names, and where the bars do not reach back the first one. Either is a guess, and it is told.
"""

from __future__ import annotations

import functools

from sqlalchemy import Engine

from risk_manager import RiskManager
from trading_platform.alpaca.clock import FollowedClock
from trading_platform.alpaca.http import AlpacaHttp, access_from
from trading_platform.alpaca.orders import root_id
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.alpaca_broker import PREFIX
from trading_platform.brokers.reconciliation.adoption import Adopted, OurPast, adopt_account, read_past
from trading_platform.configuration.environment import is_loopback
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.intents import read_order_id
from trading_platform.core.ports import Clock
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.machine.clocks import WallClock, utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.operations.commands import confirmed
from trading_platform.reporting.status_screen import say, show_json
from trading_platform.reporting.waiting import waiting
from trading_platform.runtime.account_choice import open_account
from trading_platform.runtime.instructions import Instructions
from trading_platform.runtime.live_loop import due_session
from trading_platform.runtime.open_run import kept_strategies, live_market, live_run
from trading_platform.runtime.position_owner import Owner, owner_of
from trading_platform.runtime.trade_alpaca import local_universe
from trading_platform.storage.adopted_orders import write_adopted
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository, RiskStore
from trading_platform.storage.runs import RunLock


def adopt(given: Instructions, *, sure: bool) -> int:
    """Rebuild the account's book and save it as a run's first; return the exit code.

    Raises
    ------
    FixConfigError
        There is nothing to adopt, or the run has a book already.
    OperatorNeededError
        The account cannot be explained, or its universe is another.
    """
    options, settings = given.options, given.settings
    if options.json and not sure:
        raise FixConfigError("adopt --json asks nobody: say --yes as well")
    http = AlpacaHttp(access_from(settings, live=options.live))
    reader = AlpacaReader(http)
    account = open_account(reader, settings, live=options.live, name=given.config.account.name)
    is_local = is_loopback(settings.alpaca_base_url)
    clock: Clock = FollowedClock(reader) if is_local else WallClock()
    config = local_universe(given.config, reader) if is_local else given.config
    mode, calendar = "alpaca_live" if options.live else "alpaca_paper", NyseCalendar()
    strategies = kept_strategies(config, given.strategies, mode, account.account_id)
    with waiting("asking Alpaca for the account's orders, history and bars", shown=not options.json):
        session = due_session(calendar, clock.now())
        prepared = live_market(config, settings, given.rules, calendar, strategies, session, now=clock.now)
        owners = functools.cache(functools.partial(owner_of, prepared))
        past = read_past(http, reader, PREFIX, lambda ticker, decided: owners(ticker, decided).strategy)
    if not past.orders:
        raise FixConfigError(f"account {account.account_id} has no orders of this engine: just start it")
    adopted = adopt_account(
        past, given.rules, prepared.panel.tickers, prepared.strategies, prepared.sessions[-1], clock, PREFIX
    )
    _show(adopted, past, owners, as_json=options.json)
    if not (sure or confirmed("Take them over?")):
        say("nothing was changed")
        return 0
    database, run = live_run(config, given.limits, prepared, mode, account.account_id)
    lock = RunLock(database, run.run_id)
    lock.acquire(utc_now())
    try:
        _write(database, run.run_id, prepared, given, adopted, past, clock)
    finally:
        lock.release()
    if not options.json:
        say(f"run {run.run_id} has taken the account over; start the engine now, its first look protects what it holds")
    return 0


def _show(adopted: Adopted, past: OurPast, owners: object, *, as_json: bool) -> None:
    rows = [
        {
            "ticker": p.ticker,
            "quantity": p.quantity,
            "strategy": p.strategy,
            "why": _why(p.ticker, past, owners),
            "stop": p.stop,
            "target": p.target,
            "stop_from": p.stop_from,
        }
        for p in adopted.positions
    ]
    open_orders = sum(order.status.is_open for order in past.orders)
    if as_json:
        show_json(
            {
                "equity": adopted.equity,
                "cash": adopted.cash,
                "orders": len(past.orders),
                "open_orders": open_orders,
                "fills": len(adopted.settlement.fills),
                "positions": rows,
                "owners_own": dict(adopted.manual),
            }
        )
        return
    say(
        f"{len(past.orders)} orders of this engine since {past.since:%Y-%m-%d}, {open_orders} of them at work; equity "
        f"${adopted.equity:,.2f}, cash ${adopted.cash:,.2f}"
    )
    for row in rows:
        say(
            f"  {row['ticker']}: {row['quantity']:g} shares for {row['strategy']} ({row['why']}); stop {row['stop']:g} "
            f"({row['stop_from']})"
        )
    for ticker, quantity in sorted(adopted.manual.items()):
        say(f"  {ticker}: {quantity:g} shares are your own, and stay untouched")


def _why(ticker: str, past: OurPast, owners: object) -> str:
    """Return why the last entry in a ticker is taken to be its strategy's."""
    for order in reversed(past.orders):
        name = read_order_id(order.client_order_id)
        if name is not None and order.ticker == ticker and name.side == "buy" and order.filled_quantity > 0.0:
            owner = owners(name.ticker, name.session) if callable(owners) else None
            return owner.why if isinstance(owner, Owner) else ""
    return "a guess"


def _write(
    database: Engine,
    run_id: int,
    prepared: EngineMarket,
    given: Instructions,
    adopted: Adopted,
    past: OurPast,
    clock: Clock,
) -> None:
    """Save everything that makes the run one that has always been there."""
    now = clock.now()
    repository = Repository(database, run_id, prepared.panel.tickers, prepared.strategies)
    if repository.load_book() is not None:
        raise FixConfigError(f"run {run_id} has a book already: start the engine, it continues from there")
    store = RiskStore(repository, clock.now, durable=False)
    risk = RiskManager(RiskConfig.from_mapping(given.config.risk), store=store, clock=clock, capital=adopted.equity)
    sessions = {}
    for key in past.rows:
        name = read_order_id(root_id(key))
        sessions[key] = now.date() if name is None else name.session
    write_adopted(database, run_id, [(row, sessions[key]) for key, row in past.rows.items()])
    recorder = Recorder(repository, prepared.panel.tickers, prepared.strategies, prepared.opens, journaled=True)
    recorder.settlement(adopted.settlement, now)
    risk.save()
    repository.save_book(adopted.book, now)
    repository.update_run(last_session=adopted.book.session, capital=adopted.equity)
    repository.commit()
