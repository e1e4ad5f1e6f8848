"""The autonomous trading engine: one scan cycle for replay, paper and live trading.

A scan settles what happened since the last one, checks the risk of the account, asks the allocator how to split
capital, closes what should be closed, and lets every new position through the one door, `RiskManager`. What differs
between a replay and live trading is only what is passed in: where bars come from, who fills orders, what time it is.
``python autonomous_trading_engine.py`` replays the last 252 sessions of the embedded market; ``--help`` has the rest.
"""

from __future__ import annotations

if __name__ == "__main__":
    # Options are read before the compiler and the data libraries are imported: --help and mistakes answer at once.
    try:
        from trading_platform.runtime.command_line import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None

    main()

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime

import numpy as np

from risk_manager import RiskManager
from trading_platform.brokers.venue import Broker
from trading_platform.core.compiled import plain
from trading_platform.core.entries import Candidate
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.fills import round_shares as compiled_round
from trading_platform.core.intents import entry_intent, exit_intent, lot_orders, unsized_intent
from trading_platform.core.observation import episode_of
from trading_platform.core.order_reasons import STRATEGYS_OWN
from trading_platform.core.ports import Allocator
from trading_platform.core.reasons import FLATTEN
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.session import Rules
from trading_platform.core.shadow import ShadowBook
from trading_platform.core.types import (
    ApprovedOrder,
    Denial,
    Floats,
    OrderStatus,
    RiskEventKind,
    TradeResult,
)
from trading_platform.core.view import MarketView
from trading_platform.core.wishes import weighted_strength as compiled_strength
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.recovery import held_weights, rebuild_shadow, restore_broker, weights_row
from trading_platform.engine.scan_result import Decision, ScanResult
from trading_platform.engine.session_plan import SessionPlan
from trading_platform.engine.strategy_stops import StrategyStops
from trading_platform.machine.clocks import EngineClock
from trading_platform.machine.stop_signals import stop_signals
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.reporting.run_results import equity_curve
from trading_platform.storage.operator_requests import Standing, account_wishes, standing_orders
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository

NOT_OBSERVED: Floats = np.empty(0)
# A few multiplications: handing them to compiled code would take longer than they do.
round_shares, weighted_strength = plain(compiled_round), plain(compiled_strength)


class AutonomousTradingEngine:
    """Trades a `EngineMarket` session by session.

    Parameters
    ----------
    prepared : the market, prepared. broker : where orders go and fills come from.
    risk_manager, allocator : the one door, and the split of capital. rules : all rules; their limits are the manager's.
    repository, recorder : where everything is written; a commit every `commit_sessions`.
    clock : told about each session's close. stops : of single strategies.
    """

    def __init__(
        self,
        prepared: EngineMarket,
        broker: Broker,
        risk_manager: RiskManager,
        allocator: Allocator,
        rules: Rules,
        repository: Repository,
        recorder: Recorder,
        clock: EngineClock,
        commit_sessions: int,
        stops: StrategyStops | None = None,
    ) -> None:
        self.prepared = prepared
        self.broker = broker
        self.risk_manager = risk_manager
        self.allocator = allocator
        self.repository = repository
        self.recorder = recorder
        self.stages = Stopwatch()
        self._rules = rules
        self._clock = clock
        self._commit_sessions = commit_sessions
        self._stops = stops or StrategyStops({}, (), repository)
        self._uncommitted = 0
        self.stopped = False  # True after SIGINT or SIGTERM
        self._no_entries = False
        self._standing = Standing()
        self._last_session: date | None = None
        self._equities = [float(broker.record["equity"])]
        self._allocation: Mapping[str, float] = {}
        self._held_weights: Floats | None = None
        self._shadow = ShadowBook(lambda: risk_manager.books)
        self._plan = SessionPlan(broker.book, rules, len(prepared.strategies))

    # ------------------------------------------------------------ running

    def run(self, first: int, stop: int, watch: Callable[[ScanResult], None] | None = None) -> int:
        """Scan rows `first` to `stop` (exclusive); return the row after the last one scanned.

        SIGINT and SIGTERM finish the session in hand, commit, and return early.
        """
        row = first
        with stop_signals(self.ask_to_stop):
            while row < stop and not self.stopped:
                result = self.scan_cycle(row)
                row += 1
                if watch is not None:
                    watch(result)
            self.commit()
        return row

    def ask_to_stop(self) -> None:
        """Finish the session in hand, commit, and return from `run`."""
        self.stopped = True

    def end_entries(self) -> None:
        """Decide and send no entry any more: for an account whose engine is about to stop. Exits go on."""
        self._no_entries = True

    @property
    def last_session(self) -> date | None:
        """The newest session that has been settled."""
        return self._last_session

    def adopt(self, prepared: EngineMarket) -> None:
        """Continue on a market that has grown by some sessions; its tickers must be the same."""
        if prepared.panel.tickers != self.prepared.panel.tickers:
            raise OperatorNeededError("the universe changed while the engine ran: restart it to match positions")
        self.prepared = prepared
        self.recorder.sessions_opened(prepared.opens)

    def watch(self, now: datetime) -> None:
        """Obey operators and let the broker report, between sessions."""
        self._obey(now)
        self._uncommitted = max(self._uncommitted, int(self.broker.watch(now)))

    def scan_cycle(self, t: int, *, decide: bool = True) -> ScanResult:
        """Settle session `t`, then decide at its close for the next open, unless that has passed."""
        since = self.stages.start()
        closed = self.prepared.closed[t]
        self._clock.set(closed)
        view = self.prepared.view(t)
        self._settle(view, closed)
        if self._uncommitted == 0:
            self._obey(closed)
        since = self.stages.add("fills", since)
        can_trade, message = self.risk_manager.can_trade()
        allocation, weights = self._allocate(view, closed)
        since = self.stages.add("allocation", since)
        decision = Decision(view, allocation, [], [])
        if decide:
            self._plan.begin(self.prepared.market, self.prepared.signals, t, weights)
            self._decide(decision, opens=can_trade)
            self.recorder.not_invested(self._plan.unused(is_open=can_trade))
            if not can_trade:
                self.recorder.blocked(view.session, DenialCode(message.partition(":")[0]))
        if self.risk_manager.halted:
            self._shadow.decide(self.prepared.market, self.prepared.signals, t, weights, self._rules)
        self.stages.add("decisions", since)
        self._uncommitted += 1
        if self._uncommitted >= self._commit_sessions:
            self.commit()
        equity, cash = self._equities[-1], float(self.broker.record["cash"])
        return decision.result(equity, cash, self.prepared.regimes[t], halted=self.risk_manager.halted)

    def _obey(self, now: datetime) -> None:
        """Carry out what operators asked for since the last commit."""
        for wish in account_wishes(self.repository.engine, self.repository.run_id):
            self._standing = self._standing.after(wish.kind, wish.subject)
            if wish.subject is None:
                self.recorder.event(self.risk_manager.obey(wish.kind, wish.reason, wish.actor), now.date(), now)
            self.repository.mark_handled(wish.command_id, now, f"done at {now:%Y-%m-%d %H:%M} UTC")
            self._uncommitted = max(self._uncommitted, 1)

    def commit(self) -> None:
        """Write everything collected, with the book and the risk memory that belong to it, in one transaction."""
        if self._uncommitted == 0:
            return
        since = self.stages.start()
        if self._last_session is not None:
            self.repository.save_book(self.broker.snapshot(self._last_session), self._clock.now())
            self.repository.update_run(last_session=self._last_session)
        self.risk_manager.save()
        self.repository.commit()
        self._uncommitted = 0
        self.stages.add("database", since)

    def recover(self, first: int) -> int:
        """Continue from what the database holds; return the row to scan next (`first` when there is nothing).

        Start-up and crash recovery are this one path: the broker's book, its waiting orders, the risk memory (which
        `RiskManager` has read by itself), and the shadow of a halted book, recomputed from the halt on.
        """
        session = restore_broker(self.broker, self.repository)
        if session is None:
            return first
        row = self.prepared.sessions.index(session)
        self._last_session = session
        self._clock.set(self.prepared.closed[row])
        self.risk_manager.show_market(self.prepared.view(row))
        self._equities = [self._equities[0], *equity_curve(self.repository.engine, self.repository.run_id).tolist()]
        self._held_weights = held_weights(self.prepared, self.repository, session)
        self._standing = standing_orders(self.repository.engine, self.repository.run_id)
        self._stops.recover()
        self._mirror()  # the risk book takes the shape of the broker's
        rebuild_shadow(self.risk_manager, self._shadow, self.prepared, self.repository, self._rules)
        self._mirror()
        return row + 1

    # ------------------------------------------------------------ settling

    def _settle(self, view: MarketView, closed: datetime) -> None:
        """Take in fills, trades and marks of the session, and let the account rules read the equity."""
        risk, recorder, t = self.risk_manager, self.recorder, view.t
        risk.start_session(view.session)
        previous = float(risk.account["previous_equity"])
        settlement = self.broker.settle(self.prepared.market, t, view.session, self.prepared.opened[t], closed)
        recorder.settlement(settlement, closed, self.prepared.circumstances(t))
        risk.show_market(view)
        self._mirror()
        self._standing = self._stops.after_close(settlement, self.broker.book, self._standing, closed)
        own = [trade for _, _, trade in settlement.fills if trade is not None and trade.reason in STRATEGYS_OWN]
        pauses = [risk.update_state(TradeResult(trade.ticker, trade.pnl, trade.cost)) for trade in own]
        events = [pause for pause in pauses if pause is not None]
        shadow_equity = float("nan")
        if risk.halted:
            self._shadow.trade(self.prepared.market, t, self._rules)
            shadow_equity = float(self._shadow.account["accepted_equity"])
        events += risk.read_equity(settlement.equity, shadow_equity, view.session, settlement.flows.cash_flow)
        for event in events:
            recorder.event(event, view.session, closed)
            if event.kind is RiskEventKind.HALT:
                self._shadow.start()
        self._equities.append(settlement.equity)
        self._last_session = view.session
        recorder.close(
            view.session,
            closed,
            self.broker.book,
            settlement,
            previous_equity=previous,
            risk=risk.account,
            **self.prepared.readings(t),
        )

    def _allocate(self, view: MarketView, at: datetime) -> tuple[Mapping[str, float], Floats]:
        """Ask the allocator how to split capital, by name and in kernel order; record its answer with the regime."""
        t = view.t
        asked = self.allocator.reads_state
        observation = self._observe(t) if asked else NOT_OBSERVED
        allocation = self.allocator.get_allocation(observation, view.session)
        influences = self.allocator.explain(observation) if asked else None
        self.recorder.regime(view.session, self.prepared.regimes[t], self.prepared.regime_probabilities[t].tolist())
        self.recorder.allocation(view.session, at, allocation, self.allocator.last_decision, observation, influences)
        if self._held_weights is None or allocation != self._allocation:
            self._allocation, self._held_weights = allocation, weights_row(self.prepared, allocation)
        return allocation, self._held_weights

    def _observe(self, t: int) -> Floats:
        """Return the observation at the close of row `t`, for the account as it stands."""
        episode = episode_of(np.array(self._equities))
        return self.prepared.observer.observe(t, self.broker.record, self.broker.slots, episode, self._held_weights)

    # ------------------------------------------------------------ deciding

    def _decide(self, decision: Decision, *, opens: bool) -> None:
        """Order exits and trims; if new risk may be taken (`opens`), growth and new positions, strongest first."""
        plan, standing = self._plan, self._standing
        plan.review_lots()
        if standing.flatten or self.risk_manager.abandoned:
            plan.flatten(FLATTEN)
        for ticker in standing.closing & self.prepared.columns.keys():
            plan.flatten(FLATTEN, self.prepared.columns[ticker])
        opens = opens and not standing.flatten and not self._no_entries
        plan.pause([name in standing.paused for name in self.prepared.strategies])
        grown = set(self._grow_positions(decision)) if opens else set()
        for s in (self.broker.slots["selling"] > 0.0).nonzero()[0].tolist():
            if s not in grown:
                self._sell(decision, s)
        if opens:
            self._open_positions(decision)

    def _grow_positions(self, decision: Decision) -> Iterator[int]:
        """Let positions grow to what is wanted of them by now; yield the slots that buy."""
        plan = self._plan
        for s in plan.growing():
            ticker = int(self.broker.slots[s]["ticker"])
            limit_price = plan.limit_price(ticker)
            dollars, strength = self._size(decision, s, ticker)
            quantity = plan.growth_shares(s, dollars, limit_price)
            if quantity > 0.0:
                plan.enter(s, ticker, quantity, limit_price)
                if self.broker.slots[s]["pending"] > 0.0 and self._buy(decision, s, strength, limit_price):
                    yield s

    def _open_positions(self, decision: Decision) -> None:
        """Look at candidates, strongest first, until the book is full or none is left."""
        for candidate in self._plan.candidates(self._rules.limits.max_reviews):
            if self._no_entries:
                return
            if decision.view.tickers[candidate.ticker] in self._standing.closing:
                continue
            s = self._plan.slot_for_entry()
            if s < 0:  # the verdict is known, and a full book is the common case
                self.recorder.blocked(decision.view.session, DenialCode.MAX_POSITIONS)
                if (weakest := self._plan.make_room(candidate.ticker)) >= 0:
                    self._sell(decision, weakest)
                return
            self._enter(decision, s, candidate)

    def _evaluate_signal(self, strategy: str, strength: float, allocation: Mapping[str, float]) -> float:
        """Weigh a signal by its strategy's allocation relative to equal weight; 0 skips it, equal weight leaves it."""
        return float(weighted_strength(strength, allocation[strategy], len(allocation)))

    def _size(self, decision: Decision, s: int, ticker: int) -> tuple[float, float]:
        """Return the dollars that column `ticker` should get (more), and the wishes of all strategies in slots."""
        strengths, fixed = self._plan.wishes(s, ticker)
        slot_share, wish, allocation = self._rules.limits.max_position, 0.0, decision.allocation
        for k, name in enumerate(self.prepared.strategies):
            if fixed[k] > 0.0:
                wish += fixed[k]
            elif self._plan.is_target(k):
                wish += strengths[k] * allocation[name]
            elif strengths[k] > 0.0:
                wish += self._evaluate_signal(name, strengths[k], allocation) * slot_share
        strength = wish / slot_share
        equity, name = float(self.risk_manager.account["equity"]), decision.view.tickers[ticker]
        return self.risk_manager.calculate_position_size(name, strength, equity), strength

    def _enter(self, decision: Decision, s: int, candidate: Candidate) -> None:
        """Size a candidate, have it checked, and place the order if it is approved."""
        column = candidate.ticker
        limit_price = self._plan.limit_price(column)
        dollars, strength = self._size(decision, s, column)
        quantity = round_shares(dollars / limit_price, self._rules.limits.share_step) if dollars > 0.0 else 0.0
        if quantity > 0.0:
            self._plan.enter(s, column, quantity, limit_price)
            self._buy(decision, s, strength, limit_price)
            return
        view, strategy = decision.view, self.prepared.strategies[candidate.strategy]
        verdict = self.risk_manager.approve(unsized_intent(view, column, strategy, limit_price))
        if isinstance(verdict, Denial):  # no size at all never passes; the rules say why
            decision.denials.append(verdict)
            self.recorder.denied(view.session, strategy, min(1.0, strength), verdict)

    def _buy(self, decision: Decision, s: int, strength: float, limit_price: float) -> bool:
        """Have the buy that stands in slot `s` approved and placed; refused, it is taken back."""
        slot, column = self.broker.slots[s], int(self.broker.slots[s]["ticker"])
        parts = lot_orders(slot, self.broker.lots[s], self.prepared.strategies)
        intent = entry_intent(decision.view, column, parts, min(1.0, strength), limit_price, slot)
        verdict = self.risk_manager.approve(intent)
        if isinstance(verdict, Denial):
            self._plan.withdraw_entry(s)
            decision.denials.append(verdict)
            self.recorder.denied(intent.decided_session, intent.strategy, intent.strength, verdict)
            return False
        self.recorder.approved(verdict)
        self._send(decision, verdict)
        return True

    def _sell(self, decision: Decision, s: int) -> None:
        """Have the sale that stands in slot `s` approved, which only reduces, and placed."""
        slot = self.broker.slots[s]
        intent = exit_intent(decision.view, slot, lot_orders(slot, self.broker.lots[s], self.prepared.strategies))
        verdict = self.risk_manager.approve(intent)
        if isinstance(verdict, Denial):
            self._plan.withdraw_exit(s)
            self.recorder.denied(intent.decided_session, intent.strategy, intent.strength, verdict)
            return
        self._send(decision, verdict)

    def _send(self, decision: Decision, order: ApprovedOrder) -> None:
        self.recorder.order(order, OrderStatus.SUBMITTED, self._clock.now())
        self.broker.place_order(order)
        decision.orders.append(order)
        self._mirror()

    def _mirror(self) -> None:
        book = self.broker.book
        self.risk_manager.mirror(book.accounts[0], book.slots, book.lots, book.stopped)
