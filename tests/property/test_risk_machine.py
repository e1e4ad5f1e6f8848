"""Anything that can happen to a RiskManager, in any order, against a model that knows what must hold.

The model keeps what was shown, approved and halted, and recomputes every limit in plain Python from prices. After
every step: no halt is forgotten, no reduce-only order is refused; and no approved order ever exceeded a limit.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import Stock, StoryClock, StoryStore, buy, sell, story_panel
from trading_platform.core.errors import ApprovalError
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.risk.memory import VERSION
from trading_platform.core.types import (
    ApprovedOrder,
    Denial,
    Holding,
    MarketPanel,
    Portfolio,
    RiskEventKind,
    TradeResult,
)
from trading_platform.core.view import SESSION_SECONDS, MarketView

NAN = math.nan
CONFIG = RiskConfig(max_positions=4, max_sector_pct=9.0, max_exposure_pct=14.0, second_halt_asks=True)
HALF_CENT = 0.005

STOCKS = {
    "A": Stock(50.0, "one", {1: 1.0}),
    "B": Stock(20.0, "one", {2: 1.0}),
    "C": Stock(10.0, "one", {3: 1.0}),
    "D": Stock(80.0, "two", {4: 1.0}),
    "E": Stock(40.0, "two", {5: 1.0}),
    "F": Stock(30.0, "three", {1: 0.9, 6: 0.5}),  # moves with A
    "G": Stock(30.0, "three", {}),  # does not move
    "H": Stock(25.0, "four", {7: 1.0}),
}
NAMES = tuple(STOCKS)


def panels() -> list[MarketPanel]:
    """Return markets that are plain, frightened, without VIX, with stale VIX, and with holes."""
    stale = [15.0] * 58 + [NAN] * 3
    gone = [15.0] * 57 + [NAN] * 4
    found = [story_panel(STOCKS, vix) for vix in (15.0, 15.0, 60.0, NAN, stale, gone)]
    holes = story_panel(STOCKS)
    for column, rows in ((0, slice(60, 61)), (1, slice(0, 45)), (7, slice(0, 35))):
        for values in (holes.open, holes.high, holes.low, holes.close):
            values[rows, column] = NAN
    return [*found, holes, story_panel({name: STOCKS[name] for name in ("B", "C", "D", "H")})]


BOOKS: dict[str, tuple[float, dict[str, float]]] = {
    # cash in dollars, positions in dollars; equity is 100,000 whatever they sum to
    "empty": (100_000.0, {}),
    "full": (94_000.0, dict.fromkeys(("A", "B", "D", "H"), 1_500.0)),
    "one sector nearly": (93_000.0, {"A": 3_600.0, "B": 3_600.0}),
    "exposed": (87_000.0, {"A": 4_400.0, "D": 4_400.0, "H": 4_200.0}),
    "poor": (1_500.0, {"D": 1_000.0}),
    "still": (98_000.0, {"G": 2_000.0}),
    "alike": (98_000.0, {"A": 2_000.0}),
}

VIEWS = [MarketView.from_panel(panel) for panel in panels()]
PANELS = panels()
SEEN: Counter[str] = Counter()
PHASES = (Phase.explicit, Phase.generate)  # a story of 30 steps is shrunk by hand sooner than by minutes of search


@dataclass
class Model:
    """What was shown, what was approved since, and what an operator or a reading has stopped."""

    market: int = 0
    age: float = 0.0
    cash: float = 100_000.0
    equity: float = 100_000.0
    shown: dict[str, Holding] = field(default_factory=dict)
    waiting: list[tuple[str, float, float]] = field(default_factory=list)  # approved entries: ticker, shares, worst
    selling: Counter[str] = field(default_factory=Counter)
    halts: set[str] = field(default_factory=set)
    pause_until: float = 0.0


class RiskMachine(RuleBasedStateMachine):
    """Drives a manager and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = StoryClock()
        self.store = StoryStore(trades=True)
        self.model = Model()
        self.day = date(2024, 6, 3)
        self.attempts = 0
        self.base = 0.0

    @initialize()
    def begin(self) -> None:
        self.store.trades = False
        self.risk = RiskManager(CONFIG, store=self.store, clock=self.clock)
        self.risk.show_market(self.view())
        self.risk.show_portfolio(Portfolio(self.model.cash))
        self.risk.start_session(self.day)
        self.store.trades = True

    def view(self) -> MarketView:
        view = VIEWS[self.model.market]
        shift = self.base + self.model.age * SESSION_SECONDS
        market = view.market._replace(clock=view.market.clock + self.base)
        return MarketView(market, view.t, view.columns, view.tickers, view.sectors, view.session, view.clock + shift)

    def note(self, events: list) -> None:  # type: ignore[type-arg] # RiskEvents
        for item in events:
            event(item.kind.value)
            SEEN[item.kind.value] += 1
            match item.kind:
                case RiskEventKind.HALT:
                    self.model.halts.add("drawdown")
                case RiskEventKind.RELEASE:
                    self.model.halts.discard("drawdown")
                case RiskEventKind.DAILY_LOSS if "rest of the session" in item.message:  # the first reading may pass
                    self.model.halts.add(f"day {self.day}")
                case RiskEventKind.PAUSE:
                    self.model.pause_until = self.view().clock + CONFIG.pause_hours * 3600.0

    # ------------------------------------------------------------ what is shown

    @rule(
        market=st.sampled_from([0, 0, 0, 0, *range(len(VIEWS))]), age=st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.5, -0.2])
    )
    def show_market(self, market: int, age: float) -> None:
        self.model.market, self.model.age = market, age
        self.risk.show_market(self.view())

    @rule(hours=st.sampled_from([1.0, 3.0, 4.0, 7.0]))
    def exchange_time_passes(self, hours: float) -> None:
        self.base += hours * 3600.0
        self.risk.show_market(self.view())

    @rule(data=st.data())
    def show_portfolio(self, data: st.DataObject) -> None:
        """Fill, cancel or keep what waits; then show the account, sometimes with damage."""
        model = self.model
        held = {name: item.quantity for name, item in model.shown.items()}
        pending = Counter[str]()
        worst: dict[str, float] = {}
        for ticker, quantity, limit in model.waiting:
            fate = data.draw(st.sampled_from(["fill", "fill", "keep", "cancel"]))
            if fate == "fill":
                held[ticker] = held.get(ticker, 0.0) + quantity
                model.cash -= quantity * limit
            elif fate == "keep":
                pending[ticker] += quantity  # type: ignore[assignment] # counts fractions as well
                worst[ticker] = max(worst.get(ticker, 0.0), limit)
        for ticker, quantity in model.selling.items():
            if held.get(ticker, 0.0) >= quantity:
                held[ticker] -= quantity
                model.cash += quantity * STOCKS[ticker].price
        if data.draw(st.integers(0, 9)) == 0:
            name = data.draw(st.sampled_from(NAMES))
            held[name] = data.draw(st.sampled_from([30.0, 60.0, 200.0]))
        holdings = [
            Holding(
                name,
                held.get(name, 0.0),
                STOCKS[name].price * data.draw(st.sampled_from([1.0, 1.0, 1.0, 0.9, 1.2])),
                float(pending[name]),
                worst.get(name, 0.0),
            )
            for name in NAMES
            if held.get(name, 0.0) or pending[name]
        ]
        if holdings and data.draw(st.integers(0, 9)) == 0:
            spoilt = holdings[0]
            holdings[0] = Holding(spoilt.ticker, spoilt.quantity, NAN, spoilt.pending, spoilt.limit_price)
        model.cash = data.draw(st.sampled_from([model.cash, model.cash, model.cash, 100_000.0, 1_500.0]))
        model.shown = {item.ticker: item for item in holdings}
        model.waiting, model.selling = [], Counter()
        values = [item.quantity * item.price for item in holdings if item.quantity]
        model.equity = model.cash + sum(values)
        self.note(self.risk.show_portfolio(Portfolio(model.cash, tuple(holdings))))

    @rule(
        factor=st.sampled_from(
            [1.0, 1.0, 1.0, 0.995, 1.005, 0.97, 0.93, 0.88, 1.09, 1.13, 0.7, 0.0, -1.0, NAN, math.inf]
        ),
        shadow=st.sampled_from([NAN, 0.0, 90_000.0, 99_000.0, 1e9]),
        again=st.booleans(),
    )
    def read_equity(self, factor: float, shadow: float, again: bool) -> None:
        equity = float(self.risk.account["accepted_equity"]) * factor
        for _ in range(2 if again else 1):
            self.note(self.risk.read_equity(equity, shadow, self.day))
        self.model.equity = equity

    @rule(flow=st.sampled_from([5_000.0, -5_000.0, NAN]))
    def cash_flows(self, flow: float) -> None:
        equity = float(self.risk.account["accepted_equity"]) + flow
        self.note(self.risk.read_equity(equity, NAN, self.day, cash_flow=flow))
        self.model.equity = equity

    @rule(pnl=st.sampled_from([-50.0, -50.0, 0.0, 80.0]))
    def close_a_trade(self, pnl: float) -> None:
        pause = self.risk.update_state(TradeResult("A", pnl, 2_000.0))
        self.note([] if pause is None else [pause])

    @rule()
    def next_session(self) -> None:
        self.day += timedelta(1)
        self.clock.forward(days=1)
        self.risk.start_session(self.day)
        self.model.halts = {name for name in self.model.halts if not name.startswith("day")}
        self.model.selling = Counter()

    @rule()
    def the_same_session_begins_again(self) -> None:
        self.risk.start_session(self.day)
        self.model.selling = Counter()

    # ------------------------------------------------------------ operators and restarts

    @rule(halts=st.sampled_from([False, False, True]))
    def operator_speaks(self, halts: bool) -> None:
        if halts:
            self.risk.halt("story", "ann")
            self.model.halts.add("manual")
            return
        self.risk.resume("story", "ann")
        self.model.halts = {name for name in self.model.halts if name.startswith("day")}
        self.model.pause_until = 0.0

    @rule(book=st.sampled_from(sorted(BOOKS)), market=st.sampled_from([0, 0, 0, 2, 6]))
    def a_quiet_day_begins(self, book: str, market: int) -> None:
        """Whatever was, an operator resumes over a book that is close to one of the caps."""
        self.show_market(market, 0.0)
        self.quarantine({}, None)
        self.next_session()
        cash, dollars = BOOKS[book]
        holdings = [Holding(name, value / STOCKS[name].price, STOCKS[name].price) for name, value in dollars.items()]
        self.model.cash, self.model.shown = cash, {item.ticker: item for item in holdings}
        self.model.waiting, self.model.selling = [], Counter()
        self.note(self.risk.show_portfolio(Portfolio(cash, tuple(holdings))))
        for _ in range(2):
            self.note(self.risk.read_equity(100_000.0, NAN, self.day))
        self.model.equity = 100_000.0
        self.operator_speaks(False)
        self.next_session()

    @rule()
    def the_account_falls_twice_within_a_year(self) -> None:
        """Two drawdown halts with an operator's resume between them: luck alone is not to be trusted with this."""
        for _ in range(2):
            self.a_quiet_day_begins("empty", 0)
            self.read_equity(0.88, NAN, True)
            self.next_session()

    @rule()
    def a_young_ticker_is_asked_for_beside_a_holding(self) -> None:
        """H has traded for long enough to have a volatility, and not for long enough to have a correlation."""
        self.a_quiet_day_begins("alike", 6)
        self.enter("H", 20.0, STOCKS["H"].price, False)

    @rule(why=st.sampled_from([{}, {}, {"A": "not tradable"}]), whole=st.sampled_from([None] * 9 + ["cash differs"]))
    def quarantine(self, why: dict[str, str], whole: str | None) -> None:
        self.risk.quarantine(why, whole)
        self.model.halts -= {"unreconciled", "quarantine A"}
        self.model.halts |= ({"unreconciled"} if whole else set()) | ({"quarantine A"} if why else set())

    @rule(
        damage=st.sampled_from(["none"] * 10 + ["flip", "cut", "lose", "newer", "clock back"]),
        at=st.floats(0.0, 0.999),
    )
    def restart(self, damage: str, at: float) -> None:
        self.risk.save()
        envelope = self.store.envelope or ""
        place = int(at * len(envelope))
        if damage == "clock back":
            self.clock.forward(seconds=-1.0)
        match damage:
            case "flip":
                flipped = chr((ord(envelope[place]) + 1) % 128) if envelope else "?"
                self.store.envelope = envelope[:place] + flipped + envelope[place + 1 :]
            case "cut":
                self.store.envelope = envelope[:place]
            case "lose":
                self.store.envelope = None
            case "newer":
                self.store.envelope = envelope.replace(f'"version": {VERSION}', f'"version": {VERSION + 1}')
        self.risk = RiskManager(CONFIG, store=self.store, clock=self.clock)
        untouched = (self.store.envelope or "").startswith(f'{{"version": {VERSION + 1}')
        if damage in ("flip", "cut", "lose") or untouched:
            assert self.risk.can_trade()[1].startswith("RISK_STATE_INVALID")
            self.model.halts = {"fault"}  # what was stopped before is unknown, and that alone stops everything
            self.model.pause_until = 0.0
        elif damage == "clock back":
            self.model.halts.add("fault")
        self.model.halts -= {"unreconciled", "quarantine A"}  # the engine finds these again when it reconciles
        self.model.waiting, self.model.selling = [], Counter()
        self.risk.show_market(self.view())
        self.risk.start_session(self.day)
        self.note(self.risk.show_portfolio(Portfolio(self.model.cash, tuple(self.model.shown.values()))))
        values = [item.quantity * item.price for item in self.model.shown.values() if item.quantity]
        self.model.equity = self.model.cash + sum(values)

    # ------------------------------------------------------------ orders

    @rule(
        ticker=st.sampled_from([*NAMES * 3, "NONE"]),
        dollars=st.sampled_from(
            [50.0, 120.0, 1_000.0, 1_500.0, 2_000.0, 3_000.0, 3_900.0, 4_500.0, 5_000.0, 5_100.0, 1e12, NAN]
        ),
        collar=st.sampled_from([1.0] * 5 + [1.02, NAN, 0.0, 1.3]),
        send=st.booleans(),
    )
    def order(self, ticker: str, dollars: float, collar: float, send: bool) -> None:
        """Ask for an entry; what is approved must hold every limit."""
        last = STOCKS[ticker].price if ticker in STOCKS else 10.0
        quantity = float(math.floor(dollars / last)) if math.isfinite(dollars) else dollars
        self.enter(ticker, quantity, last * collar, send)

    @rule(ticker=st.sampled_from(NAMES), send=st.booleans())
    def order_the_largest_that_passes(self, ticker: str, send: bool) -> None:
        """Explain names the largest entry: it passes, and a share more does not."""
        price = STOCKS[ticker].price
        told = self.risk.explain(ticker, "buy", 1.0, price)
        if told.checks and told.largest_quantity > 0.0:
            assert self.risk.validate_order(ticker, "buy", told.largest_quantity, price) == (True, "OK")
            assert not self.risk.validate_order(ticker, "buy", told.largest_quantity + 1.0, price)[0]
            self.enter(ticker, told.largest_quantity, price, send)

    @rule(ticker=st.sampled_from(NAMES), strength=st.sampled_from([0.2, 1.0, NAN, 5.0]))
    def order_what_sizing_says(self, ticker: str, strength: float) -> None:
        """A size that is not zero passes at the last price, rounded down to whole shares, or is too small."""
        dollars = self.risk.calculate_position_size(ticker, strength, self.model.equity)
        assert dollars >= 0.0
        if dollars > 0.0:
            price = STOCKS[ticker].price
            quantity = math.floor(dollars / price)
            answer = self.risk.validate_order(ticker, "buy", quantity, price)
            assert answer[0] == (quantity * price >= CONFIG.min_order_dollars), answer

    def enter(self, ticker: str, quantity: float, price: float, send: bool) -> None:
        self.attempts += 1
        answer = self.risk.validate_order(ticker, "buy", quantity, price)
        verdict = self.risk.approve(buy(ticker, quantity, price), self.attempts)
        if isinstance(verdict, Denial):
            assert answer == (False, verdict.message)
            assert verdict.message.startswith(verdict.code)
            event(verdict.code.value)
            SEEN[verdict.code.value] += 1
            return
        assert answer == (True, "OK")
        SEEN["OK"] += 1
        self.check_limits(ticker, quantity, price)
        self.model.waiting.append((ticker, quantity, price))
        if send:
            self.risk.consume(verdict)
            with pytest.raises(ApprovalError):
                self.risk.consume(verdict)

    def check_limits(self, ticker: str, quantity: float, price: float) -> None:
        """Recompute every limit of an approved entry from what was shown, in plain Python."""
        model, panel = self.model, PANELS[self.model.market]
        equity = model.equity
        assert math.isfinite(equity)
        assert equity > 0.0
        assert not model.halts - {"quarantine A"}
        assert not (ticker == "A" and "quarantine A" in model.halts)
        assert 0.0 <= model.age <= 1.0
        assert self.view().clock >= model.pause_until
        orders = [*model.waiting, (ticker, quantity, price)]
        held = {name: item.quantity * item.price if item.quantity else 0.0 for name, item in model.shown.items()}
        pending = {name: item.pending * item.limit_price for name, item in model.shown.items()}
        for name, shares, worst in orders:
            pending[name] = pending.get(name, 0.0) + shares * worst
        dollars = {name: held.get(name, 0.0) + pending.get(name, 0.0) for name in {*held, *pending}}
        noise = HALF_CENT + 0.005 * len(dollars)  # marks are whole cents
        last_vix = [value for value in panel.vix if value > 0.0][-1]
        scale = min(1.0, CONFIG.vix_threshold / last_vix)
        ages = [n for n, value in enumerate(panel.vix[::-1]) if value > 0.0]
        assert ages[0] + model.age <= CONFIG.max_vix_age_sessions
        sectors = {name: STOCKS[name].sector for name in dollars}
        same = sum(value for name, value in dollars.items() if sectors[name] == sectors[ticker])
        assert len(dollars) <= CONFIG.max_positions
        assert dollars[ticker] <= 0.05 * scale * equity + noise
        assert same <= CONFIG.max_sector_pct / 100.0 * equity + noise
        assert sum(dollars.values()) <= CONFIG.max_exposure_pct / 100.0 * equity + noise
        assert sum(pending.values()) <= model.cash + noise
        assert quantity * price >= CONFIG.min_order_dollars - noise
        closes = {name: panel.close[-31:, panel.tickers.index(name)] for name in dollars}
        assert closes[ticker][-1] > 0.0
        if ticker in {*model.shown, *(name for name, *_ in model.waiting)}:
            return  # more of what is held is no new position
        for name in dollars:
            if name != ticker:
                moves = np.array([np.diff(closes[each]) / closes[each][:-1] for each in (ticker, name)])
                if not moves[1].std() > 0.0:  # what does not move counts as moving along in its sector, else as usual
                    assert sectors[name] != sectors[ticker]
                    continue
                assert np.corrcoef(moves)[0, 1] <= CONFIG.max_correlation + 1e-9

    @precondition(lambda self: bool(self.model.shown))
    @rule(part=st.sampled_from([1.0, 0.5, 2.0]), data=st.data())
    def reduce(self, part: float, data: st.DataObject) -> None:
        """Sell up to what is held: it always passes. More than that is a short: it never does."""
        ticker = data.draw(st.sampled_from(sorted(self.model.shown)))
        free = self.model.shown[ticker].quantity - self.model.selling[ticker]
        if free <= 0.0:
            return
        self.attempts += 1
        verdict = self.risk.approve(sell(ticker, free * part), self.attempts)
        if part > 1.0:
            assert isinstance(verdict, Denial)
            SEEN[verdict.code.value] += 1
            event(verdict.code.value)
            return
        assert isinstance(verdict, ApprovedOrder), verdict
        self.risk.consume(verdict)
        self.model.selling[ticker] += free * part  # type: ignore[assignment] # counts fractions as well

    # ------------------------------------------------------------ what must hold after every step

    @invariant()
    def no_halt_is_forgotten(self) -> None:
        if not hasattr(self, "risk"):
            return
        allowed, message = self.risk.can_trade()
        stopped = self.model.halts - {"quarantine A"}
        if self.view().clock < self.model.pause_until:
            stopped.add("pause")
        assert not (allowed and stopped), (stopped, message)
        account = self.risk.account
        if allowed:
            assert account["equity"] >= 0.9 * account["peak_equity"] * (1.0 - 1e-9)
            assert account["equity"] >= 0.85 * account["total_peak"] * (1.0 - 1e-9)
            assert account["equity"] >= 0.98 * account["previous_equity"] * (1.0 - 1e-9)
        event(message.partition(":")[0])
        SEEN[message.partition(":")[0]] += 1

    @invariant()
    def no_reduction_is_refused(self) -> None:
        for ticker, item in self.model.shown.items():
            free = item.quantity - self.model.selling[ticker]
            if free > 0.0:
                assert self.risk.validate_order(ticker, "sell", free, NAN) == (True, "OK")

    @invariant()
    def the_report_is_whole(self) -> None:
        if hasattr(self, "risk") and self.attempts % 7 == 0:
            report = self.risk.get_risk_report()
            assert report["can_trade"] == (not report["halts"]), report
            assert report["positions_count"] == int(np.sum(self.risk.slots["quantity"] != 0.0)) + int(
                np.sum((self.risk.slots["quantity"] == 0.0) & (self.risk.slots["pending"] > 0.0))
            )


def run(examples: int, steps: int) -> Counter[str]:
    """Run the machine and return how often each code and event was seen."""
    SEEN.clear()
    run_state_machine_as_test(
        RiskMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=PHASES,
            report_multiple_bugs=False,
        ),
    )
    return Counter(SEEN)


def test_nothing_that_happens_walks_around_the_door() -> None:
    seen = run(60, 40)
    assert seen["OK"] > 50
    assert len(set(seen) & {code.value for code in DenialCode}) >= 12
    assert min(seen[DenialCode.SECOND_HALT], seen[DenialCode.CORRELATION_UNKNOWN]) >= 5  # they have rules of their own


@pytest.mark.slow
def test_a_hundred_thousand_steps_reach_every_rule_and_every_code() -> None:
    seen = run(2_000, 52)
    print(dict(seen.most_common()))  # noqa: T201 - the counts are the evidence; pytest -s shows them
    assert {code.value for code in DenialCode} <= set(seen)
    assert {kind.value for kind in (RiskEventKind.HALT, RiskEventKind.RELEASE, RiskEventKind.PAUSE)} <= set(seen)
    assert min(seen[code.value] for code in DenialCode) >= 5
