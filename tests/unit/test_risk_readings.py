"""Equity readings as stories: what each one halts, releases, raises or leaves alone."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import STOCKS, code_of, desk, holding, story_view
from trading_platform.core.risk.rules import accept_equity, update_drawdown
from trading_platform.core.types import Holding, Portfolio, RiskEventKind, TradeResult
from trading_platform.core.view import MarketView

NAN = math.nan
DAY = date(2024, 6, 3)

Step = tuple[float, str, str]  # equity, code of can_trade afterwards, kinds of the events


def started(config: RiskConfig | None = None) -> RiskManager:
    """Return an account that was read at 100,000 twice and has begun today's session."""
    risk = desk(config=config)
    risk.read_equity(100_000.0, NAN, DAY)
    risk.start_session(DAY)
    return risk


def kinds(events: list[object]) -> str:
    return " ".join(event.kind for event in events)  # type: ignore[attr-defined] # all are RiskEvents


def play(risk: RiskManager, steps: list[Step], *, daily: bool = True) -> None:
    """Take one reading a session and compare code and events after each."""
    for number, (equity, code, expected) in enumerate(steps):
        session = DAY + timedelta(number + 1)
        if not daily or number:
            risk.start_session(session)
        events = risk.read_equity(equity, NAN, session)
        assert (code_of(risk.can_trade()), kinds(events)) == (code, expected), (number, equity)  # type: ignore[arg-type]


WIDE = RiskConfig(max_daily_loss_pct=50.0)  # stories of the drawdown alone
EQUITY = RiskConfig(max_daily_loss_pct=50.0, halt_release="equity")

DRAWDOWN: dict[str, list[Step]] = {
    "10.00 % is allowed": [(90_000.0, "OK", "")],
    "a cent below 10.00 % is denied, a second reading halts": [
        (89_999.99, "DRAWDOWN_BREACH", "breach"),
        (89_999.99, "DRAWDOWN_HALT", "halt"),
    ],
    "one bad tick denies for one reading and halts nothing": [
        (88_000.0, "DRAWDOWN_BREACH", "breach"),
        (99_000.0, "OK", ""),
        (88_000.0, "DRAWDOWN_BREACH", "breach"),
        (99_000.0, "OK", ""),
    ],
    "the halt holds until 5.00 %, read twice": [
        (89_000.0, "DRAWDOWN_BREACH", "breach"),
        (89_000.0, "DRAWDOWN_HALT", "halt"),
        (94_999.99, "DRAWDOWN_HALT", ""),
        (94_999.99, "DRAWDOWN_HALT", ""),
        (95_000.0, "DRAWDOWN_HALT", ""),
        (95_000.0, "OK", "release"),
    ],
    "one good tick releases nothing": [
        (89_000.0, "DRAWDOWN_BREACH", "breach"),
        (89_000.0, "DRAWDOWN_HALT", "halt"),
        (96_000.0, "DRAWDOWN_HALT", ""),
        (90_000.0, "DRAWDOWN_HALT", ""),
        (96_000.0, "DRAWDOWN_HALT", ""),
        (90_000.0, "DRAWDOWN_HALT", ""),
    ],
    "measured from the peak, not from the start": [
        (108_000.0, "OK", ""),
        (97_200.0, "OK", ""),
        (97_199.99, "DRAWDOWN_BREACH", "breach"),
        (97_199.99, "DRAWDOWN_HALT", "halt"),
    ],
    "a rise of over 10 % in one reading is no peak before a second one": [
        (112_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (100_000.0, "OK", ""),
        (99_000.0, "OK", ""),
    ],
    "a rise of over 10 % that a second reading confirms is a peak": [
        (112_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (112_000.0, "OK", ""),
        (100_800.0, "OK", ""),
        (100_799.0, "DRAWDOWN_BREACH", "breach"),
    ],
    "a fall of 15 % is believed at once": [(85_000.0, "DRAWDOWN_BREACH", "breach")],
    "a fall of more waits for a second reading": [
        (84_999.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (100_000.0, "OK", ""),
    ],
    "a crash is believed at the second reading, and halts at the third": [
        (60_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (61_000.0, "DRAWDOWN_BREACH", "breach"),
        (61_000.0, "TOTAL_DRAWDOWN", "halt"),
    ],
    "two wild readings that disagree confirm nothing": [
        (60_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (40_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (100_000.0, "OK", ""),
    ],
    "NaN is untradable and forgotten with the next good reading": [
        (NAN, "EQUITY_UNKNOWN", "equity_suspect"),
        (99_000.0, "OK", ""),
    ],
    "nothing, debt and infinity are no equity": [
        (0.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (-5_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (math.inf, "EQUITY_UNKNOWN", "equity_suspect"),
        (1e200, "EQUITY_UNKNOWN", "equity_suspect"),
        (100_000.0, "OK", ""),
    ],
    "NaN does not confirm a jump": [
        (60_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (NAN, "EQUITY_UNKNOWN", "equity_suspect"),
        (60_000.0, "EQUITY_UNKNOWN", "equity_suspect"),
        (60_000.0, "DRAWDOWN_BREACH", "breach"),
    ],
    "a halt survives unknown readings": [
        (89_000.0, "DRAWDOWN_BREACH", "breach"),
        (89_000.0, "DRAWDOWN_HALT", "halt"),
        (NAN, "EQUITY_UNKNOWN", "equity_suspect"),
        (89_000.0, "DRAWDOWN_HALT", ""),
    ],
}


@pytest.mark.parametrize("title", DRAWDOWN)
def test_drawdown_story(title: str) -> None:
    play(started(EQUITY), DRAWDOWN[title])


def test_release_rebases_the_peak_and_keeps_the_lifetime_figures() -> None:
    risk = started(EQUITY)
    play(risk, DRAWDOWN["the halt holds until 5.00 %, read twice"])
    assert risk.account["peak_equity"] == pytest.approx(100_000.0)
    for number, equity in enumerate((89_000.0, 89_000.0)):
        risk.read_equity(equity, NAN, DAY + timedelta(30 + number))
    assert risk.halted
    assert risk.halt_session == "2024-07-04"
    assert risk.account["lifetime_peak"] == 100_000.0
    assert risk.account["lifetime_drawdown"] == pytest.approx(0.11)


def halted(release: str) -> RiskManager:
    risk = started(RiskConfig(max_daily_loss_pct=50.0, halt_release=release))  # type: ignore[arg-type] # a literal
    risk.read_equity(89_000.0, NAN, DAY)
    risk.read_equity(89_000.0, NAN, DAY)
    assert risk.halted
    return risk


def test_shadow_release_rebases_so_that_the_drawdown_reads_five_percent() -> None:
    risk = halted("shadow")
    assert kinds(risk.read_equity(89_000.0, 95_000.0, DAY + timedelta(1))) == ""  # type: ignore[arg-type]
    assert kinds(risk.read_equity(89_000.0, 95_000.0, DAY + timedelta(2))) == "release"  # type: ignore[arg-type]
    assert risk.account["peak_equity"] == pytest.approx(89_000.0 / 0.95)
    assert risk.halt_session is None
    assert risk.halt_book is None
    assert risk.get_risk_report()["drawdown_pct"] == pytest.approx(5.0)
    assert risk.account["lifetime_peak"] == 100_000.0


@pytest.mark.parametrize("shadow", [94_999.99, NAN, -1.0, 0.0])
def test_a_shadow_that_has_not_recovered_releases_nothing(shadow: float) -> None:
    risk = halted("shadow")
    for number in range(1, 5):
        risk.read_equity(89_000.0, shadow, DAY + timedelta(number))
    assert risk.halted


def test_one_reading_a_session_counts_towards_a_release() -> None:
    risk = halted("shadow")
    for _ in range(10):
        risk.read_equity(89_000.0, 99_000.0, DAY + timedelta(1))
    assert risk.halted
    assert risk.account["halted_sessions"] == 1
    risk.read_equity(89_000.0, 99_000.0, DAY + timedelta(2))
    assert not risk.halted


def test_the_session_of_the_halt_releases_nothing() -> None:
    risk = halted("shadow")
    risk.read_equity(89_000.0, 99_000.0, DAY)
    risk.read_equity(89_000.0, 99_000.0, DAY + timedelta(1))
    assert risk.halted


def test_equity_release_ignores_the_shadow() -> None:
    risk = halted("equity")
    for number in range(1, 5):
        risk.read_equity(89_000.0, 99_000.0, DAY + timedelta(number))
    assert risk.halted


def test_manual_release_waits_for_the_operator() -> None:
    risk = halted("manual")
    for number in range(1, 5):
        risk.read_equity(100_000.0, 100_000.0, DAY + timedelta(number))
    assert risk.halted
    risk.resume("looked at it", "ann")
    assert not risk.halted


# ---------------------------------------------------------------- the day's loss

DAILY: dict[str, list[Step]] = {
    "2.00 % is allowed": [(98_000.0, "OK", "")],
    "a cent more is denied, a second reading halts the day": [
        (97_999.99, "DAILY_LOSS_LIMIT", "daily_loss"),
        (97_999.99, "DAILY_LOSS_LIMIT", "daily_loss"),
        (99_999.0, "DAILY_LOSS_LIMIT", ""),
    ],
    "one bad tick denies once": [(97_000.0, "DAILY_LOSS_LIMIT", "daily_loss"), (99_000.0, "OK", "")],
    "a loss that comes and goes is told once a session": [
        (97_000.0, "DAILY_LOSS_LIMIT", "daily_loss"),
        (99_000.0, "OK", ""),
        (97_000.0, "DAILY_LOSS_LIMIT", ""),
        (99_000.0, "OK", ""),
    ],
}


@pytest.mark.parametrize("title", DAILY)
def test_daily_loss_story(title: str) -> None:
    risk = started()
    for equity, code, expected in DAILY[title]:
        events = risk.read_equity(equity, NAN, DAY)
        assert (code_of(risk.can_trade()), kinds(events)) == (code, expected), equity  # type: ignore[arg-type]


def test_daily_halt_ends_with_the_next_session_and_counts_from_the_previous_close() -> None:
    risk = started()
    risk.read_equity(97_000.0, NAN, DAY)
    risk.read_equity(97_000.0, NAN, DAY)
    risk.start_session(DAY + timedelta(1))
    assert code_of(risk.can_trade()) == "OK"
    risk.read_equity(95_060.0, NAN, DAY + timedelta(1))
    assert code_of(risk.can_trade()) == "OK"  # 2.00 % of 97,000
    risk.read_equity(95_059.99, NAN, DAY + timedelta(1))
    assert code_of(risk.can_trade()) == "DAILY_LOSS_LIMIT"


def test_a_days_loss_leaves_a_trace_though_nothing_confirms_it() -> None:
    """A replay reads the equity once a session: the second reading that would confirm the loss never comes."""
    risk = started()
    (event,) = risk.read_equity(97_000.0, NAN, DAY)
    assert (event.kind, event.code.value) == (RiskEventKind.DAILY_LOSS, "DAILY_LOSS_LIMIT")
    assert event.message == "lost 3.00% since the previous close, limit 2.00%: no new risk while it stands"
    assert risk.get_risk_report()["halts"][0]["since"] is not None
    risk.start_session(DAY + timedelta(1))
    (event,) = risk.read_equity(94_000.0, NAN, DAY + timedelta(1))
    assert event.kind is RiskEventKind.DAILY_LOSS


def test_a_session_begins_once_however_often_the_engine_restarts() -> None:
    risk = started()
    risk.read_equity(97_000.0, NAN, DAY)
    risk.read_equity(97_000.0, NAN, DAY)
    risk.start_session(DAY)
    risk.start_session(DAY - timedelta(1))
    assert code_of(risk.can_trade()) == "DAILY_LOSS_LIMIT"


def test_open_positions_are_part_of_the_days_loss() -> None:
    risk = desk(50_000.0, [holding("T00", 4_000.0), holding("T01", 46_000.0)])
    risk.start_session(DAY)
    risk.show_portfolio(Portfolio(50_000.0, (holding("T00", 4_000.0), Holding("T01", 460.0, 95.0))))
    assert code_of(risk.can_trade()) == "DAILY_LOSS_LIMIT"
    assert risk.get_risk_report()["daily_loss_pct"] == pytest.approx(2.3)


# ---------------------------------------------------------------- cash flows


@pytest.mark.parametrize("flow", [50_000.0, -50_000.0, 0.01, -98_000.0])
def test_cash_flows_are_no_profit_and_no_loss(flow: float) -> None:
    risk = started()
    risk.read_equity(99_000.0, NAN, DAY)
    before = risk.get_risk_report()
    events = risk.read_equity(99_000.0 + flow, NAN, DAY, cash_flow=flow)
    after = risk.get_risk_report()
    assert events[0].kind is RiskEventKind.CASH_FLOW
    assert not {event.kind for event in events} & {RiskEventKind.BREACH, RiskEventKind.HALT}
    assert after["drawdown_pct"] == pytest.approx(before["drawdown_pct"], rel=1e-9, abs=1e-9)
    assert after["lifetime_drawdown_pct"] == pytest.approx(before["lifetime_drawdown_pct"], abs=1e-9)
    assert after["daily_loss_pct"] <= before["daily_loss_pct"] * 1e5 / (1e5 + min(flow, 0.0)) + 1e-9
    assert risk.account["cash"] == 100_000.0  # the cash shown holds the flow already


def test_a_withdrawal_while_equity_is_unknown_is_no_drawdown() -> None:
    risk = started()
    risk.read_equity(NAN, NAN, DAY)
    risk.read_equity(70_000.0, NAN, DAY, cash_flow=-30_000.0)
    assert code_of(risk.can_trade()) == "OK"
    assert risk.get_risk_report()["drawdown_pct"] == pytest.approx(0.0)


def test_a_deposit_while_equity_is_unknown_hides_no_drawdown() -> None:
    risk = started(WIDE)
    risk.read_equity(92_000.0, NAN, DAY)
    risk.read_equity(NAN, NAN, DAY)
    risk.read_equity(142_000.0, NAN, DAY, cash_flow=50_000.0)
    assert risk.get_risk_report()["drawdown_pct"] == pytest.approx(8.0)


def test_a_flow_joins_a_jump_that_waits_for_confirmation() -> None:
    risk = started(WIDE)
    risk.read_equity(60_000.0, NAN, DAY)
    risk.read_equity(160_000.0, NAN, DAY, cash_flow=100_000.0)
    assert code_of(risk.can_trade()) == "DRAWDOWN_BREACH"  # 60,000 was real: 40 % below the peak


@pytest.mark.parametrize("flow", [NAN, math.inf, 1e300])
def test_a_flow_that_is_no_amount_makes_the_reading_unknown(flow: float) -> None:
    risk = started()
    risk.read_equity(100_000.0, NAN, DAY, cash_flow=flow)
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"
    risk.read_equity(100_000.0, NAN, DAY)
    assert code_of(risk.can_trade()) == "OK"
    assert risk.account["peak_equity"] == 100_000.0


def test_an_emptied_account_begins_again_with_its_next_money() -> None:
    risk = started()
    risk.read_equity(0.0, NAN, DAY, cash_flow=-100_000.0)
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"
    risk.read_equity(20_000.0, NAN, DAY, cash_flow=20_000.0)
    assert code_of(risk.can_trade()) == "OK"
    assert risk.account["peak_equity"] == 20_000.0


# ---------------------------------------------------------------- showing and reading


def test_showing_and_reading_the_same_moment_confirm_nothing_together() -> None:
    risk = started(WIDE)
    for _ in range(2):
        risk.show_portfolio(Portfolio(60_000.0))
        events = risk.read_equity(60_000.0, NAN, DAY)
    assert [event.kind for event in events] == [RiskEventKind.BREACH]  # two moments, not four
    risk.show_portfolio(Portfolio(60_000.0))
    risk.read_equity(60_000.0, NAN, DAY)
    assert risk.halted


def test_a_reading_corrects_the_equity_that_was_shown() -> None:
    risk = started()
    risk.show_portfolio(Portfolio(107_000.0))
    assert risk.account["peak_equity"] == 107_000.0
    risk.read_equity(106_000.0, NAN, DAY)
    assert risk.account["peak_equity"] == 106_000.0
    assert risk.account["cash"] == 107_000.0


def test_a_reading_that_differs_from_the_equity_shown_is_another_one() -> None:
    risk = started()
    risk.show_portfolio(Portfolio(107_000.0))
    risk.read_equity(105_929.0, NAN, DAY)
    assert risk.account["peak_equity"] == 107_000.0
    fresh = desk(config=WIDE)
    for _ in range(2):
        fresh.read_equity(89_000.0, NAN, DAY)
    assert fresh.halted


def test_unknown_equity_shown_and_read_is_one_reading_and_a_known_one_another() -> None:
    risk = started()
    risk.show_portfolio(Portfolio(NAN))
    risk.read_equity(NAN, NAN, DAY)
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"
    risk.show_portfolio(Portfolio(NAN))
    risk.read_equity(100_000.0, NAN, DAY)
    assert risk.can_trade() == (False, "PRICE_UNKNOWN: cash was shown as nan")
    risk.show_portfolio(Portfolio(99_000.0, (Holding("T00", 10.0, NAN),)))
    risk.read_equity(100_000.0, NAN, DAY)
    assert risk.can_trade() == (False, "PRICE_UNKNOWN: T00 is held at a price of nan")
    risk.show_portfolio(Portfolio(100_000.0))
    assert risk.can_trade() == (True, "OK")


def test_two_portfolios_shown_are_two_readings() -> None:
    risk = started(WIDE)
    risk.show_portfolio(Portfolio(89_000.0))
    assert not risk.halted
    events = risk.show_portfolio(Portfolio(89_000.0))
    assert [event.kind for event in events] == [RiskEventKind.HALT]
    assert risk.halted


def test_a_halt_seen_in_a_portfolio_is_taken_back_by_the_reading_that_corrects_it() -> None:
    risk = started(WIDE)
    risk.show_portfolio(Portfolio(89_900.0))
    risk.show_portfolio(Portfolio(89_900.0))
    assert risk.account["halted"] == 1
    risk.read_equity(90_100.0, NAN, DAY)
    assert not risk.halted
    assert risk.halt_session is None
    assert risk.account["halts"] == 0


def test_a_trade_between_showing_and_reading_is_not_forgotten() -> None:
    risk = started()
    risk.show_portfolio(Portfolio(100_000.0))
    risk.update_state(TradeResult("T00", -1.0, 1000.0))
    risk.read_equity(100_000.0, NAN, DAY)
    assert risk.account["loss_streak"] == 1


def test_an_operators_halt_between_showing_and_reading_is_not_forgotten() -> None:
    risk = started()
    risk.show_portfolio(Portfolio(100_000.0))
    risk.halt("stop", "ann")
    risk.read_equity(100_000.0, NAN, DAY)
    assert code_of(risk.can_trade()) == "MANUAL_HALT"


def test_the_first_portfolio_begins_the_account() -> None:
    risk = RiskManager()
    risk.show_market(story_view(STOCKS))
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"
    risk.show_portfolio(Portfolio(7_300.0))
    assert code_of(risk.can_trade()) == "OK"
    assert risk.account["peak_equity"] == 7_300.0


def test_given_capital_is_where_an_account_begins() -> None:
    risk = RiskManager(capital=50_000.0)
    risk.show_market(story_view(STOCKS))
    assert code_of(risk.can_trade()) == "OK"
    risk.read_equity(44_900.0, NAN, DAY)
    assert code_of(risk.can_trade()) == "DRAWDOWN_BREACH"


@pytest.mark.parametrize(
    "bad",
    [
        Holding("T01", 10.0, NAN),
        Holding("T01", 10.0, 0.0),
        Holding("T01", 10.0, -5.0),
        Holding("T01", 10.0, math.inf),
        Holding("T01", 1e200, 1e200),
        Holding("T01", NAN, 100.0),
    ],
)
def test_a_holding_without_a_value_keeps_new_risk_out_until_it_has_one(bad: Holding) -> None:
    risk = started()
    good = holding("T00", 1_000.0)
    risk.show_portfolio(Portfolio(98_000.0, (good, bad)))
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"
    assert risk.validate_order("T00", "sell", 10.0, 100.0) == (True, "OK")
    risk.show_portfolio(Portfolio(98_000.0, (good, holding("T01", 1_000.0))))
    assert code_of(risk.can_trade()) == "OK"


@pytest.mark.parametrize("cash", [NAN, math.inf, -math.inf, 1e300])
def test_cash_that_is_no_amount_keeps_new_risk_out(cash: float) -> None:
    risk = started()
    risk.show_portfolio(Portfolio(cash))
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"
    risk.show_portfolio(Portfolio(100_000.0))
    assert code_of(risk.can_trade()) == "OK"


@pytest.mark.parametrize(
    "bad",
    [
        Holding("T01", 0.0, 100.0, pending=10.0),
        Holding("T01", 0.0, 100.0, pending=10.0, limit_price=NAN),
        Holding("T01", 0.0, 100.0, pending=NAN, limit_price=100.0),
        Holding("T01", 0.0, 100.0, pending=-5.0, limit_price=100.0),
    ],
)
def test_a_pending_order_of_unknown_cost_keeps_new_risk_out(bad: Holding) -> None:
    risk = started()
    risk.show_portfolio(Portfolio(100_000.0, (bad,)))
    assert code_of(risk.can_trade()) == "PRICE_UNKNOWN"


def test_a_position_and_its_orders_may_be_listed_apart() -> None:
    risk = desk(96_000.0, [holding("T00", 3_000.0), Holding("T00", 0.0, 100.0, 10.0, 100.0), holding("T00", 1_000.0)])
    assert risk.get_risk_report()["positions_count"] == 1
    assert code_of(risk.validate_order("T00", "buy", 1.0, 100.0)) == "POSITION_LIMIT"
    assert risk.validate_order("T00", "sell", 40.0, 100.0) == (True, "OK")


def test_more_positions_than_allowed_can_be_shown_and_closed() -> None:
    book = [holding(f"T{i:02d}", 1_000.0) for i in range(12)]
    risk = desk(88_000.0, book)
    assert risk.get_risk_report()["positions_count"] == 12
    assert risk.validate_order("T11", "sell", 10.0, 100.0) == (True, "OK")
    risk.show_portfolio(Portfolio(100_000.0))
    assert len(risk.slots) == 12


# ---------------------------------------------------------------- streaks and pauses


def lose(risk: RiskManager, *pnls: float) -> list[object]:
    return [risk.update_state(TradeResult("T00", pnl, 1_000.0)) for pnl in pnls]


@pytest.mark.parametrize(
    ("pnls", "code", "streak"),
    [
        ((-1.0, -1.0), "OK", 2),
        ((-1.0, -1.0, -1.0), "LOSS_STREAK_PAUSE", 0),
        ((-1.0, -1.0, 0.0, -1.0), "LOSS_STREAK_PAUSE", 0),  # break-even neither extends nor resets
        ((-1.0, -1.0, 0.0), "OK", 2),
        ((-1.0, -1.0, 0.01, -1.0, -1.0), "OK", 2),  # a cent of profit resets
        ((-0.01, -0.01, -0.01), "LOSS_STREAK_PAUSE", 0),
        ((-1.0, -1.0, -1.0, 5.0), "LOSS_STREAK_PAUSE", 0),  # profit does not end a pause
    ],
)
def test_streak(pnls: tuple[float, ...], code: str, streak: int) -> None:
    risk = started()
    lose(risk, *pnls)
    assert code_of(risk.can_trade()) == code
    assert risk.account["loss_streak"] == streak


def test_the_pause_lasts_four_hours_of_open_exchange() -> None:
    risk = started()
    view = story_view(STOCKS)
    (event,) = [event for event in lose(risk, -1.0, -1.0, -1.0) if event is not None]
    assert event.kind is RiskEventKind.PAUSE  # type: ignore[attr-defined] # a RiskEvent
    for hours, code in ((0.0, "LOSS_STREAK_PAUSE"), (3.999, "LOSS_STREAK_PAUSE"), (4.0, "OK")):
        later = MarketView(
            view.market, view.t, view.columns, view.tickers, view.sectors, view.session, view.clock + hours * 3600.0
        )
        risk.show_market(later)
        assert code_of(risk.can_trade()) == code, hours


def test_a_pause_without_a_market_starts_when_one_is_shown() -> None:
    risk = RiskManager(capital=100_000.0)
    lose(risk, -1.0, -1.0, -1.0)
    assert risk.get_risk_report()["circuit_breaker"] == {
        "active": True,
        "loss_streak": 0,
        "limit": 3,
        "pause_hours_left": None,
    }
    risk.show_market(story_view(STOCKS))
    assert code_of(risk.can_trade()) == "LOSS_STREAK_PAUSE"
    assert risk.get_risk_report()["circuit_breaker"]["pause_hours_left"] == 4.0


@pytest.mark.parametrize(
    ("pnl", "cost"), [(NAN, 1.0), (1.0, NAN), (math.inf, 1.0), (-1.0, -1.0), (1.0, 1e-300), (1e16, 1.0), (1.0, 1e16)]
)
def test_a_trade_that_is_no_amount_is_refused_and_counts_nothing(pnl: float, cost: float) -> None:
    risk = started()
    before = risk.account.copy()
    with pytest.raises(ValueError, match="T00"):
        risk.update_state(TradeResult("T00", pnl, cost))
    assert risk.account == before


def test_a_trade_of_no_cost_counts_in_the_streak_only() -> None:
    risk = started()
    risk.update_state(TradeResult("T00", -5.0, 0.0))
    assert risk.account["loss_streak"] == 1
    assert risk.account["kelly_loss"] == 0.0


# ---------------------------------------------------------------- operators


def test_a_manual_halt_keeps_its_first_instant_and_its_last_reason() -> None:
    risk = started()
    risk.halt("earnings", "ann")
    since = risk.memory().manual_halt_since
    risk.halt("  ", "bob")
    assert risk.memory().manual_halt_since == since
    assert risk.can_trade()[1] == f"MANUAL_HALT: no reason given (since {since})"
    event = risk.resume("over", "ann")
    assert (event.kind, event.message, event.actor) == (RiskEventKind.RESUME, "over", "ann")
    assert risk.can_trade() == (True, "OK")


def test_resume_needs_a_reason_and_changes_nothing_without_one() -> None:
    risk = started()
    risk.halt("x", "ann")
    with pytest.raises(ValueError, match="reason"):
        risk.resume(" ", "ann")
    assert code_of(risk.can_trade()) == "MANUAL_HALT"


def test_resume_ends_pause_and_drawdown_but_not_what_the_next_reading_settles() -> None:
    risk = started(WIDE)
    lose(risk, -1.0, -1.0, -1.0)
    risk.read_equity(85_000.0, NAN, DAY)
    risk.resume("go on", "ann")
    assert code_of(risk.can_trade()) == "OK"  # rebased: the first reading of a breach would have halted next
    assert risk.account["peak_equity"] == pytest.approx(85_000.0 / 0.95)
    risk.read_equity(NAN, NAN, DAY)
    risk.resume("again", "ann")
    assert code_of(risk.can_trade()) == "EQUITY_UNKNOWN"


def test_resume_leaves_a_peak_that_halts_nothing() -> None:
    risk = started(WIDE)
    risk.read_equity(91_000.0, NAN, DAY)
    risk.resume("fine", "ann")
    assert risk.account["peak_equity"] == 100_000.0


# ---------------------------------------------------------------- negative controls


def test_without_confirmation_a_bad_tick_halts() -> None:
    risk = started(RiskConfig(confirmation_readings=1, max_daily_loss_pct=50.0))
    risk.read_equity(88_000.0, NAN, DAY)
    assert risk.halted


def test_the_rules_alone_believe_one_reading_of_release_when_told_to() -> None:
    risk = halted("equity")
    limits = risk.limits._replace(confirmation_readings=1)
    assert accept_equity(risk.account, 96_000.0, limits)
    assert update_drawdown(risk.account, NAN, limits) == 3
