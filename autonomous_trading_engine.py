"""The autonomous trading engine: one scan cycle for replay, paper and live trading.

A scan settles what happened since the last one, checks the risk of the account, asks the allocator how to split
capital, closes what should be closed, and lets every new position through the one door, `RiskManager`. What differs
between a replay and live trading is only what is passed in: where bars come from, who fills orders, what time it is.

``python autonomous_trading_engine.py`` replays the last 252 sessions of the embedded market. ``--help`` has the rest.
"""

from __future__ import annotations

if __name__ == "__main__":
    # Options are read before the compiler and the data libraries are imported: --help and mistakes answer at once.
    try:
        from trading_platform.runtime.command_line import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None

    main()

from collections.abc import Callable, Mapping
from datetime import date, datetime

import numpy as np

from risk_manager import RiskManager
from trading_platform.brokers.venue import Venue
from trading_platform.core.candidate_queue import CandidateQueue
from trading_platform.core.compiled import direct
from trading_platform.core.decide import Candidate, free_slot, plan_exits, weighted_strength
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.intents import entry_intent, exit_intent
from trading_platform.core.observation import episode_of
from trading_platform.core.ports import Allocator
from trading_platform.core.session import Rules
from trading_platform.core.shadow import ShadowBook
from trading_platform.core.types import (
    ORDER_REASONS,
    ApprovedOrder,
    Denial,
    DenialCode,
    Floats,
    OrderIntent,
    OrderReason,
    OrderStatus,
    RiskEvent,
    RiskEventKind,
    TradeResult,
)
from trading_platform.core.view import MarketView
from trading_platform.engine.engine_market import World
from trading_platform.engine.recovery import held_weights, rebuild_shadow, restore_broker, weights_row
from trading_platform.engine.scan_result import ScanResult
from trading_platform.machine.clocks import EngineClock
from trading_platform.machine.stop_signals import stop_signals
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.reporting.run_results import equity_curve
from trading_platform.storage.operator_requests import Standing, open_wishes, standing_orders
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository

NOT_OBSERVED: Floats = np.empty(0)
FLATTEN = ORDER_REASONS.index(OrderReason.FLATTEN)


class AutonomousTradingEngine:
    """Trades a `World` session by session.

    Parameters
    ----------
    world : the market, prepared. broker : where orders go and fills come from.
    risk_manager, allocator : the one door, and the split of capital.
    rules : limits, exits and costs; the limits are those of `risk_manager`.
    repository, recorder : where everything is written; a commit every `commit_sessions`.
    clock : told about each session's close.
    """

    def __init__(
        self,
        world: World,
        broker: Venue,
        risk_manager: RiskManager,
        allocator: Allocator,
        rules: Rules,
        repository: Repository,
        recorder: Recorder,
        clock: EngineClock,
        commit_sessions: int,
    ) -> None:
        self.world = world
        self.broker = broker
        self.risk_manager = risk_manager
        self.allocator = allocator
        self.repository = repository
        self.recorder = recorder
        self.stages = Stopwatch()
        self._rules = rules
        self._clock = clock
        self._commit_sessions = commit_sessions
        self._uncommitted = 0
        self._stop = False
        self._no_entries = False
        self._standing = Standing()
        self._last_session: date | None = None
        self._equities = [float(broker.record["equity"])]
        self._allocation: Mapping[str, float] = {}
        self._held_weights: Floats | None = None
        self._shadow = ShadowBook(risk_manager.books)
        self._queue = CandidateQueue(len(world.strategies))
        self._plan_exits = direct(plan_exits)
        self._exit_reasons = np.zeros(rules.limits.max_positions, dtype=np.int64)

    # ------------------------------------------------------------ running

    def run(self, first: int, stop: int, watch: Callable[[ScanResult], None] | None = None) -> int:
        """Scan rows `first` to `stop` (exclusive); return the row after the last one scanned.

        SIGINT and SIGTERM finish the session in hand, commit, and return early.
        """
        row = first
        with stop_signals(self.ask_to_stop):
            while row < stop and not self._stop:
                result = self.scan_cycle(row)
                row += 1
                if watch is not None:
                    watch(result)
            self.commit()
        return row

    @property
    def stopped(self) -> bool:
        """True after SIGINT or SIGTERM."""
        return self._stop

    def ask_to_stop(self) -> None:
        """Finish the session in hand, commit, and return from `run`."""
        self._stop = True

    def end_entries(self) -> None:
        """Decide and send no entry any more: for an account whose engine is about to stop. Exits go on."""
        self._no_entries = True

    @property
    def last_session(self) -> date | None:
        """The newest session that has been settled."""
        return self._last_session

    def adopt(self, world: World) -> None:
        """Continue on a market that has grown by some sessions; its tickers must be the same."""
        if world.panel.tickers != self.world.panel.tickers:
            raise OperatorNeededError("the universe changed while the engine ran: restart it to match positions")
        self.world = world
        self.recorder.sessions_opened(world.opens)

    def watch(self, now: datetime) -> None:
        """Obey operators and let the venue report, between sessions."""
        self._obey(now)
        self._uncommitted = max(self._uncommitted, int(self.broker.watch(now)))

    def scan_cycle(self, t: int, *, decide: bool = True) -> ScanResult:
        """Settle session `t`, then decide at its close for the next open, unless that has passed."""
        since = self.stages.start()
        session, closed = self.world.sessions[t], self.world.closed[t]
        self._clock.set(closed)
        view = self.world.view(t)
        self._settle(view, closed)
        if self._uncommitted == 0:
            self._obey(closed)
        since = self.stages.add("fills", since)
        can_trade, message = self.risk_manager.can_trade()
        allocation, weights = self._allocate(view, closed)
        since = self.stages.add("allocation", since)
        orders: list[ApprovedOrder] = []
        denials: list[Denial] = []
        if decide:
            self._close_positions(view, orders)
            if can_trade:
                self._open_positions(view, allocation, weights, orders, denials)
            else:
                self.recorder.blocked(view.session, DenialCode(message.partition(":")[0]))
        if self.risk_manager.halted:
            self._shadow.decide(self.world.market, self.world.signals, t, weights, self._rules)
        self.stages.add("decisions", since)
        self._uncommitted += 1
        if self._uncommitted >= self._commit_sessions:
            self.commit()
        equity = self._equities[-1]
        held = equity - float(self.broker.record["cash"])
        return ScanResult(
            session, equity, held / equity if equity > 0.0 else 0.0, tuple(orders), tuple(denials),
            allocation, self.world.regimes[t], self.risk_manager.halted,
        )  # fmt: skip

    def _obey(self, now: datetime) -> None:
        """Carry out what operators asked for since the last commit."""
        for wish in open_wishes(self.repository.engine, self.repository.run_id):
            self._standing = self._standing.after(wish.kind, wish.subject)
            if wish.subject is None and wish.kind == "resume":
                self.recorder.event(self.risk_manager.resume(wish.reason, wish.actor), now.date(), now)
            elif wish.subject is None:
                event = self.risk_manager.halt(f"{wish.kind}: {wish.reason}", wish.actor)
                self.recorder.event(event, now.date(), now)
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
        row = self.world.sessions.index(session)
        self._last_session = session
        self._clock.set(self.world.closed[row])
        self.risk_manager.show_market(self.world.view(row))
        self._equities = [self._equities[0], *equity_curve(self.repository.engine, self.repository.run_id).tolist()]
        self._held_weights = held_weights(self.world, self.repository, session)
        self._standing = standing_orders(self.repository.engine, self.repository.run_id)
        rebuild_shadow(self.risk_manager, self._shadow, self.world, self.repository, self._rules)
        self.risk_manager.mirror(self.broker.record, self.broker.slots)
        return row + 1

    # ------------------------------------------------------------ settling

    def _settle(self, view: MarketView, closed: datetime) -> None:
        """Take in fills, trades and marks of the session, and let the account rules read the equity."""
        risk, recorder, t = self.risk_manager, self.recorder, view.t
        risk.start_session(view.session)
        previous_equity = float(risk.account["previous_equity"])
        settlement = self.broker.settle(self.world.market, t, view.session, self.world.opened[t], closed)
        recorder.settlement(settlement, closed)
        risk.show_market(view)
        risk.mirror(self.broker.record, self.broker.slots)
        events: list[RiskEvent] = []
        for _, _, trade in settlement.fills:
            pause = None if trade is None else risk.update_state(TradeResult(trade.ticker, trade.pnl, trade.cost))
            if pause is not None:
                events.append(pause)
        shadow_equity = float("nan")
        if risk.halted:
            self._shadow.trade(self.world.market, t, self._rules)
            shadow_equity = float(self._shadow.account["accepted_equity"])
        events += risk.read_equity(settlement.equity, shadow_equity, view.session, settlement.cash_flow)
        for event in events:
            recorder.event(event, view.session, closed)
            if event.kind is RiskEventKind.HALT:
                self._shadow.start()
        self._equities.append(settlement.equity)
        self._last_session = view.session
        panel = self.world.panel
        recorder.close(
            view.session, closed, self.broker.record, self.broker.slots, settlement,
            previous_equity=previous_equity, risk=risk.account, vix=panel.vix[t], benchmark=panel.benchmark[t],
            universe_return=self.world.universe_returns[t],
        )  # fmt: skip

    def _allocate(self, view: MarketView, at: datetime) -> tuple[Mapping[str, float], Floats]:
        """Ask the allocator how to split capital, by name and in kernel order; record its answer with the regime."""
        t = view.t
        asked = self.allocator.model_id is not None
        observation = self._observe(t) if asked else NOT_OBSERVED
        allocation = self.allocator.get_allocation(observation, view.session)
        influences = self.allocator.explain(observation) if asked else None
        self.recorder.regime(view.session, self.world.regimes[t], self.world.regime_probabilities[t].tolist())
        self.recorder.allocation(view.session, at, allocation, self.allocator.last_decision, observation, influences)
        if self._held_weights is None or allocation != self._allocation:
            self._allocation, self._held_weights = allocation, weights_row(self.world, allocation)
        return allocation, self._held_weights

    def _observe(self, t: int) -> Floats:
        """Return the observation at the close of row `t`, for the account as it stands."""
        episode = episode_of(np.array(self._equities))
        return self.world.observer.observe(t, self.broker.record, self.broker.slots, episode, self._held_weights)

    # ------------------------------------------------------------ deciding

    def _close_positions(self, view: MarketView, orders: list[ApprovedOrder]) -> None:
        """Order the exits that strategies, holding time or unfinished exits ask for."""
        slots = self.broker.slots
        self._plan_exits(self.world.signals, slots, view.t, self._rules.exits.max_holding, self._exit_reasons)
        if self._standing.flatten:
            self._exit_reasons[slots["quantity"] > 0.0] = FLATTEN
        elif self._standing.closing:
            columns = [n for n, ticker in enumerate(view.tickers) if ticker in self._standing.closing]
            self._exit_reasons[(slots["quantity"] > 0.0) & np.isin(slots["ticker"], columns)] = FLATTEN
        for s in self._exit_reasons.nonzero()[0]:
            strategy = self.broker.strategy_of(slots[s])
            intent = exit_intent(view, slots[s], strategy, int(self._exit_reasons[s]))
            orders += self._place(intent)

    def _open_positions(
        self, view: MarketView, allocation: Mapping[str, float], weights: Floats, orders: list[ApprovedOrder],
        denials: list[Denial],
    ) -> None:  # fmt: skip
        """Look at candidates, strongest first, until the book is full or none is left."""
        slots, most = self.broker.slots, self._rules.limits.max_reviews
        if self._standing.paused:
            weights = weights * [name not in self._standing.paused for name in self.world.strategies]
        for candidate in self._queue.strongest(self.world.signals, view.t, weights, slots, most):
            if self._no_entries:
                return
            if view.tickers[candidate.ticker] in self._standing.closing:
                continue
            if free_slot(slots) < 0:  # the verdict is known, and a full book is the common case
                self.recorder.blocked(view.session, DenialCode.MAX_POSITIONS)
                return
            strategy = self.world.strategies[candidate.strategy]
            strength = self._evaluate_signal(strategy, candidate.strength, allocation)
            verdict = self._enter(view, candidate, strategy, strength)
            if isinstance(verdict, Denial):
                denials.append(verdict)
                self.recorder.denied(view.session, strategy, strength, verdict)
            else:
                orders.append(verdict)

    def _evaluate_signal(self, strategy: str, strength: float, allocation: Mapping[str, float]) -> float:
        """Weigh a signal by its strategy's allocation relative to equal weight; 0 skips it, equal weight leaves it."""
        return float(weighted_strength(strength, allocation[strategy], len(allocation)))

    def _enter(self, view: MarketView, candidate: Candidate, strategy: str, strength: float) -> ApprovedOrder | Denial:
        """Size a candidate, have it checked, and place the order if it is approved."""
        risk, column = self.risk_manager, candidate.ticker
        equity = float(risk.account["equity"])
        dollars = risk.calculate_position_size(view.tickers[column], strength, equity)
        intent = entry_intent(view, column, strategy, strength, dollars, self._rules.exits, self._rules.limits)
        verdict = risk.approve(intent)
        if isinstance(verdict, Denial):
            return verdict
        self.recorder.approved(verdict)
        self._send(verdict)
        return verdict

    def _place(self, intent: OrderIntent) -> list[ApprovedOrder]:
        """Have a reduce-only order approved and placed."""
        verdict = self.risk_manager.approve(intent)
        if isinstance(verdict, Denial):
            self.recorder.denied(intent.decided_session, intent.strategy, intent.strength, verdict)
            return []
        self._send(verdict)
        return [verdict]

    def _send(self, order: ApprovedOrder) -> None:
        self.recorder.order(order, OrderStatus.SUBMITTED, self._clock.now())
        self.broker.place_order(order)
        self.risk_manager.mirror(self.broker.record, self.broker.slots)
