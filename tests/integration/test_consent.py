"""Look before it leaves: entries wait for their owner, at the paper simulator and at Alpaca over the local server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alpaca_world import CALENDAR, make_server
from sqlalchemy import Engine, select
from test_broker_contract import CASH, MARKET, PANEL, RULES, STRATEGIES, AlpacaScene, Door, decided

from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.venue import Broker, PendingOrder
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import ApprovedOrder, Denial, OrderIntent, OrderStatus, Side
from trading_platform.engine.consent import Consent, ConsentBroker, HeldOrder, Terms, next_step
from trading_platform.storage import models as m
from trading_platform.storage.consents import Answer, answers_to, held_entries, next_open, subject_of
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.operator_requests import leave_command
from trading_platform.storage.order_journal import DatabaseJournal
from trading_platform.storage.repository import Repository, create_run

NOW = datetime(2024, 1, 2, 21, 30, tzinfo=UTC)
SESSION = PANEL.session(0)
LIMITS = {"AAA": 51.0, "SPY": 410.0}
OPENS = CALENDAR.open_at(PANEL.session(1))
IN_TIME = OPENS - timedelta(minutes=31)
LATE = OPENS - timedelta(minutes=29)


class HoldingDoor(Door):
    """A risk manager that approves all but what is named, and counts what it is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.given_back: list[str] = []

    def approve(  # type: ignore[override]
        self, intent: OrderIntent, attempt: int = 0, decided: OrderIntent | None = None
    ) -> ApprovedOrder | Denial:
        if intent.ticker in self.refused:
            return Denial(DenialCode.MANUAL_HALT, intent.ticker, 0.0, 0.0, "MANUAL_HALT: an operator says so")
        return super().approve(intent, attempt, decided)

    def take_back(self, order: ApprovedOrder) -> None:
        self.register.issued.pop(order.approval_id)
        self.given_back.append(order.client_order_id)


class Desk:
    """An account behind a `ConsentBroker`, with its database."""

    def __init__(self, folder: Path, consent: Consent, inner: Callable[[HoldingDoor, Engine, int], Broker]) -> None:
        self.database = open_database(folder / "a.db")
        migrate(self.database)
        texts = dict.fromkeys(("key", "source", "config_fingerprint", "data_hash", "code_version"), "x")
        told = {"config": "{}", "strategies": "[]", "sectors": "{}", "mode": "paper", "status": "running"}
        self.run_id = create_run(self.database, {**texts, **told, "started_at": NOW, "capital": CASH}, [])
        self.door, self.terms, self.inner = HoldingDoor(), Terms(consent, timedelta(minutes=30)), inner
        self.open()

    def open(self) -> None:
        """Be a new process."""
        self.repository = Repository(self.database, self.run_id, PANEL.tickers, STRATEGIES)
        self.own = self.inner(self.door, self.database, self.run_id)
        self.broker: Broker = ConsentBroker(
            self.own,
            self.door,
            self.terms,
            self.repository,
            CALENDAR,
            PANEL.tickers,
            journaled=not isinstance(self.own, PaperBroker),
        )

    def decide(self, *tickers: str) -> list[ApprovedOrder]:
        """Let the engine order ten of each at the close of the first session, and commit."""
        orders = []
        for ticker in tickers:
            order = decided(self, 0, ticker, Side.BUY, 10.0, LIMITS[ticker])  # type: ignore[arg-type]
            if isinstance(self.own, PaperBroker):
                self.repository.add_order(order, OrderStatus.SUBMITTED, NOW)
            self.broker.place_order(order)
            orders.append(order)
        self.commit()
        return orders

    def commit(self) -> None:
        self.repository.save_book(self.broker.snapshot(SESSION), NOW)
        self.repository.update_run(last_session=SESSION)
        self.repository.commit()

    def say(self, kind: str, ticker: str | None = None) -> None:
        leave_command(self.database, self.run_id, kind, "because", NOW, subject_of(SESSION, ticker), "ann")

    def look(self, now: datetime) -> None:
        self.door.now = now
        self.broker.watch(now)
        self.commit()

    def die(self) -> None:
        saved = self.repository.load_book()
        assert saved is not None
        self.open()
        waiting = [
            PendingOrder(str(row["client_order_id"]), str(row["ticker"]), Side(row["side"]), float(row["quantity"]))
            for row in self.repository.open_orders()
        ]
        self.broker.restore(saved, waiting)

    def trade(self) -> list[str]:
        """Let the second session pass; return what has been bought."""
        session = PANEL.session(1)
        closed = CALENDAR.close_at(session)
        settled = self.broker.settle(MARKET, 1, session, OPENS, closed)
        for key, (status, filled) in settled.orders.items():
            self.repository.update_order(key, status=status.value, filled_quantity=filled, closed_at=closed)
        self.repository.commit()
        return sorted(fill.ticker for fill, _, _ in settled.fills if fill.side is Side.BUY)

    @property
    def orders(self) -> Mapping[str, tuple[str, str]]:
        with self.database.connect() as connection:
            rows = connection.execute(
                select(m.Order.ticker, m.Order.status, m.Order.message).where(m.Order.reason == "entry")
            ).all()
        return {ticker: (status, message or "") for ticker, status, message in rows}


def paper_account(door: HoldingDoor, database: Engine, run_id: int) -> Broker:
    return PaperBroker(RULES, CASH, PANEL.tickers, STRATEGIES, door)


@pytest.fixture
def open_desk(tmp_path: Path) -> Callable[[Consent], Desk]:
    return lambda consent: Desk(tmp_path, consent, paper_account)


# ---------------------------------------------------------------- the rule


def answer(kind: str) -> Answer:
    return Answer(kind, "ann", "because", NOW)


@pytest.mark.parametrize(
    ("consent", "said", "is_late", "becomes"),
    [
        (Consent.VETO, None, False, HeldOrder.WAIT),
        (Consent.VETO, None, True, HeldOrder.GO),
        (Consent.VETO, answer("veto"), False, HeldOrder.STAY),
        (Consent.VETO, answer("veto"), True, HeldOrder.STAY),
        (Consent.VETO, answer("consent"), False, HeldOrder.GO),
        (Consent.ASK, None, False, HeldOrder.WAIT),
        (Consent.ASK, None, True, HeldOrder.STAY),
        (Consent.ASK, answer("consent"), False, HeldOrder.GO),
        (Consent.ASK, answer("veto"), False, HeldOrder.STAY),
    ],
)
def test_next_step_by_mode_answer_and_time(
    consent: Consent, said: Answer | None, is_late: bool, becomes: HeldOrder
) -> None:
    assert next_step(consent, said, is_late=is_late) is becomes


# ---------------------------------------------------------------- the local paper account


def test_ask_without_an_answer_sends_nothing_and_says_so(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.ASK)
    (order,) = desk.decide("AAA")
    assert desk.door.given_back == [order.client_order_id]
    assert desk.orders["AAA"] == ("held", f"waits for a yes to {IN_TIME + timedelta(minutes=1):%Y-%m-%d %H:%M} UTC")
    assert next_open(desk.database, desk.run_id)["waiting"] == ["AAA"]
    desk.look(IN_TIME)
    assert desk.orders["AAA"][0] == "held"
    desk.look(LATE)
    assert desk.orders["AAA"] == ("canceled", "not sent: nobody said yes in time")
    assert float(desk.broker.slots["pending"].max()) == 0.0
    assert desk.trade() == []


def test_ask_with_a_yes_to_one_sends_that_one_only(
    open_desk: Callable[[Consent], Desk],
) -> None:
    desk = open_desk(Consent.ASK)
    desk.decide("AAA", "SPY")
    desk.say("consent", "SPY")
    desk.say("consent", "SPY")  # twice says nothing more
    desk.look(IN_TIME)
    assert (desk.orders["SPY"], desk.orders["AAA"][0]) == (("submitted", ""), "held")
    desk.look(LATE)
    assert desk.trade() == ["SPY"]
    assert desk.orders["SPY"][0] == "filled"


def test_veto_in_time_keeps_one_back_and_the_others_go(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.VETO)
    desk.decide("AAA", "SPY")
    desk.say("veto", "AAA")
    desk.look(IN_TIME)
    assert desk.orders["AAA"] == ("canceled", "vetoed by ann: because")
    assert desk.orders["SPY"][0] == "held"
    assert desk.broker.is_due(IN_TIME) is False  # type: ignore[attr-defined]
    assert desk.broker.is_due(LATE) is True  # type: ignore[attr-defined]
    desk.look(LATE)
    assert desk.trade() == ["SPY"]


def test_waiting_and_answers_survive_the_process(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.VETO)
    desk.decide("AAA", "SPY")
    desk.say("veto", "AAA")
    desk.die()
    assert [entry.intent.ticker for entry in held_entries(desk.database, desk.run_id)] == ["AAA", "SPY"]
    desk.look(LATE)
    desk.die()
    assert desk.trade() == ["SPY"]
    assert [desk.orders[name][0] for name in ("AAA", "SPY")] == ["canceled", "filled"]


def test_answer_to_another_day_means_nothing(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.ASK)
    desk.decide("AAA")
    leave_command(desk.database, desk.run_id, "consent", "because", NOW, subject_of(PANEL.session(1), None))
    assert answers_to(desk.database, desk.run_id, SESSION) == {}
    desk.look(IN_TIME)
    assert desk.orders["AAA"][0] == "held"


def test_engine_that_wakes_after_the_open_sends_nothing(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.VETO)
    desk.decide("AAA")
    desk.look(OPENS)
    assert desk.orders["AAA"] == ("canceled", "not sent: its open passed without an answer")
    assert desk.trade() == []


def test_settlement_without_a_look_before_it_buys_nothing(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.VETO)
    desk.decide("AAA")
    assert desk.trade() == []
    assert desk.orders["AAA"][0] == "canceled"


def test_entry_that_risk_refuses_by_then_is_not_sent_whatever_was_agreed(
    open_desk: Callable[[Consent], Desk],
) -> None:
    desk = open_desk(Consent.ASK)
    desk.decide("AAA", "SPY")
    desk.say("consent")
    desk.door.refused = {"AAA"}
    desk.look(IN_TIME)
    assert desk.orders["AAA"] == ("rejected", "not sent: MANUAL_HALT: an operator says so")
    assert desk.trade() == ["SPY"]


def test_exit_goes_at_once_without_asking(open_desk: Callable[[Consent], Desk]) -> None:
    desk = open_desk(Consent.ASK)
    desk.decide("AAA")
    desk.say("consent")
    desk.look(IN_TIME)
    assert desk.trade() == ["AAA"]
    sale = decided(desk, 1, "AAA", Side.SELL, 10.0, None)  # type: ignore[arg-type]
    assert desk.broker.place_order(sale).status is OrderStatus.SUBMITTED


# ---------------------------------------------------------------- Alpaca


@contextmanager
def alpaca_desk(folder: Path, consent: Consent) -> Iterator[tuple[Desk, AlpacaScene]]:
    with make_server(PANEL) as server:
        scenes: list[AlpacaScene] = []

        def account(door: HoldingDoor, database: Engine, run_id: int) -> Broker:
            scene = AlpacaScene(server)
            scene.door, scene.journal = door, DatabaseJournal(database, run_id, lambda: server.now)  # type: ignore[assignment]
            scenes.append(scene)
            return scene.open_again()

        desk = Desk(folder, consent, account)
        desk.broker.restore(desk.broker.snapshot(SESSION), [])
        yield desk, scenes[0]


def test_at_alpaca_nothing_leaves_before_the_yes_and_then_it_does(tmp_path: Path) -> None:
    with alpaca_desk(tmp_path, Consent.ASK) as (desk, scene):
        server = scene.server
        desk.decide("AAA", "SPY")
        server.advance(IN_TIME)  # type: ignore[attr-defined]
        desk.look(IN_TIME)
        assert [request.method for request in server.requests if request.path.endswith("/orders")].count("POST") == 0  # type: ignore[attr-defined]
        assert float(desk.broker.slots["pending"].max()) == 0.0  # the book holds what the broker has
        desk.say("consent", "AAA")
        desk.look(IN_TIME)
        assert desk.orders["AAA"][0] == "submitted"
        assert float(desk.broker.slots["pending"].max()) == 10.0
        desk.look(LATE)
        assert desk.orders["SPY"] == ("canceled", "not sent: nobody said yes in time")
        scene.broker = desk.broker
        scene.opened(1)
        scene.closed(1)
        assert desk.trade() == ["AAA"]
        assert desk.orders["AAA"][0] == "filled"
