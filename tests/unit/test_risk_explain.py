"""Explanations and the report: every rule's number beside its limit, the binding one, and JSON that is whole."""

from __future__ import annotations

import json
import math
from datetime import date

import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import NOW, STOCKS, Stock, StoryClock, StoryStore, buy, desk, holding, story_view
from trading_platform.core.risk.caps import RuleVerdict
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.risk.messages import describe
from trading_platform.core.types import ApprovedOrder, Holding, Portfolio, TradeResult

NAN = math.nan
DAY = date(2024, 6, 3)
BOOK = (holding("T00", 3_000.0), holding("T04", 2_000.0), holding("T01", 1_000.0))


def test_explain_names_every_rule_with_its_number_and_limit() -> None:
    told = desk(94_000.0, BOOK, vix=50.0).explain("T00", "buy", 10, 100.0)
    rows = {check.code.value: (check.observed, check.limit, check.passed) for check in told.checks}
    assert rows == {
        "DRAWDOWN_HALT": (0.0, 0.1, True),
        "TOTAL_DRAWDOWN": (0.0, 0.15, True),
        "DAILY_LOSS_LIMIT": (0.0, 0.02, True),
        "LOSS_STREAK_PAUSE": (0.0, 0.0, True),
        "VIX_UNKNOWN": (0.0, 3.0, True),
        "MAX_POSITIONS": (3.0, 10.0, True),
        "CORRELATION_LIMIT": (-1.0, 0.8, True),  # more of what is held is no new position
        "POSITION_LIMIT": (0.04, 0.05, True),
        "VIX_LIMIT": (0.04, 0.025, False),
        "SECTOR_LIMIT": (0.06, 0.3, True),
        "EXPOSURE_LIMIT": (0.07, 0.8, True),
        "INSUFFICIENT_CASH": (1_000.0, 94_000.0, True),
    }
    assert all(check.headroom == check.limit - check.observed for check in told.checks)
    assert (told.allowed, told.binding, told.largest_quantity) == (False, DenialCode.VIX_LIMIT, 0.0)
    assert told.message == "VIX_LIMIT: T00 position 4.00% > 2.50% of equity"


def test_explain_of_an_order_that_passes_says_what_binds_next() -> None:
    told = desk(94_000.0, BOOK).explain("T00", "buy", 20.0, 100.0)
    assert (told.allowed, told.message, told.binding, told.largest_quantity) == (
        True,
        "OK",
        DenialCode.POSITION_LIMIT,
        20.0,
    )
    assert all(check.passed for check in told.checks)


@pytest.mark.parametrize(("price", "largest"), [(100.0, 20.0), (100.01, 19.0), (120.0, 16.0), (2_000.01, 0.0)])
def test_the_largest_order_is_exact(price: float, largest: float) -> None:
    risk = desk(94_000.0, BOOK)
    assert risk.explain("T00", "buy", 1.0, price).largest_quantity == largest


def test_the_largest_order_below_the_smallest_sensible_one_is_none() -> None:
    risk = desk(95_099.0, [Holding("T00", 49.01, 100.0)], config=RiskConfig(price_collar_pct=100.0))
    assert risk.explain("T00", "buy", 1.0, 50.0).largest_quantity == 0.0
    almost = desk(95_200.0, [Holding("T00", 48.0, 100.0)], config=RiskConfig(price_collar_pct=100.0))
    assert almost.explain("T00", "buy", 1.0, 50.0).largest_quantity == 4.0


@pytest.mark.parametrize("price", [0.0, -1.0, NAN, math.inf, 1e-7])
def test_no_order_is_largest_at_a_price_that_is_none(price: float) -> None:
    told = desk().explain("T00", "buy", 1.0, price)
    assert told.largest_quantity == 0.0
    assert not told.allowed


def test_explain_where_nothing_would_pass() -> None:
    full = desk(90_000.0, [holding(f"T{i:02d}", 1_000.0) for i in range(10)])
    told = full.explain("T11", "buy", 1.0, 100.0)
    assert (told.binding, told.largest_quantity) == (DenialCode.MAX_POSITIONS, 0.0)
    assert full.explain("T00", "buy", 1.0, 100.0).largest_quantity == 40.0
    halted = desk()
    halted.halt("stop", "ann")
    assert halted.explain("T00", "buy", 1.0, 100.0).largest_quantity == 0.0
    sad = desk()
    sad.read_equity(97_000.0, NAN, DAY)
    told = sad.explain("T00", "buy", 1.0, 100.0)
    assert (told.binding, told.largest_quantity) == (DenialCode.DAILY_LOSS_LIMIT, 0.0)
    stock = {"A": Stock(mix={1: 1.0}), "B": Stock(mix={1: 1.0}), "E": Stock(mix={}), "G": Stock(mix={2: 1.0})}
    pair = desk(99_000.0, [holding("A", 1_000.0)], stock)
    assert pair.explain("B", "buy", 1.0, 100.0).binding is DenialCode.CORRELATION_LIMIT
    assert pair.explain("B", "buy", 1.0, 100.0).largest_quantity == 0.0
    still = desk(99_000.0, [holding("E", 1_000.0)], stock)
    told = still.explain("A", "buy", 1.0, 100.0)  # a holding without a measure counts as moving like its sector
    assert (told.binding, told.largest_quantity) == (DenialCode.CORRELATION_LIMIT, 0.0)
    assert "A~E 1.00 > 0.80" in told.message
    flat = desk(stocks=stock).explain("E", "buy", 1.0, 100.0)
    assert flat.binding is DenialCode.VOLATILITY_UNKNOWN
    assert flat.checks[5].code is DenialCode.VOLATILITY_UNKNOWN
    assert not flat.checks[5].passed


def test_explain_of_a_sell_names_what_may_be_sold() -> None:
    risk = desk(94_000.0, BOOK)
    told = risk.explain("T00", "sell", 31.0, 100.0)
    assert (told.allowed, told.binding, told.largest_quantity) == (False, DenialCode.SHORT_NOT_ALLOWED, 30.0)
    told = risk.explain("T00", "sell", 30.0, 100.0)
    assert (told.allowed, told.message, told.binding, told.largest_quantity) == (True, "OK", DenialCode.OK, 30.0)
    assert risk.explain("NONE", "buy", 1.0, 1.0).binding is DenialCode.PRICE_UNKNOWN


def test_checks_say_failed_exactly_when_the_rule_refuses() -> None:
    risk = desk()
    for quantity, passed in ((50.0, True), (50.00003, True), (50.0001, False)):
        told = risk.explain("T00", "buy", quantity, 100.0)
        checks = {check.code: check.passed for check in told.checks}
        assert checks[DenialCode.POSITION_LIMIT] is passed
        assert told.allowed is passed


def test_checks_follow_drawdown_pause_and_stale_vix() -> None:
    risk = desk(config=RiskConfig(max_daily_loss_pct=50.0), vix=[15.0] * 59 + [NAN] * 2)
    for _ in range(2):
        risk.read_equity(89_000.0, NAN, DAY)
    for _ in range(3):
        risk.update_state(TradeResult("T00", -1.0, 100.0))
    rows = {check.code.value: check for check in risk.explain("T00", "buy", 1.0, 100.0).checks}
    assert rows["DRAWDOWN_HALT"].observed == pytest.approx(0.11)
    assert rows["DRAWDOWN_HALT"].limit == 0.05
    assert (rows["LOSS_STREAK_PAUSE"].observed, rows["LOSS_STREAK_PAUSE"].passed) == (4.0, False)
    assert rows["VIX_UNKNOWN"].observed == 2.0


# ---------------------------------------------------------------- messages


def test_every_code_has_words_and_begins_with_itself() -> None:
    limits = desk().limits
    for number, code in enumerate(DENIAL_CODES):
        message = describe(RuleVerdict(number, 0.5, 0.25), limits, "T00", "T01")
        assert message == "OK" if code is DenialCode.OK else message.startswith(f"{code}: T00")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("DRAWDOWN_HALT", "DRAWDOWN_HALT: halted at drawdown 50.00%, until recovery to 25.00%"),
        ("DRAWDOWN_BREACH", "DRAWDOWN_BREACH: drawdown 50.00% > 25.00% of equity"),
        ("DAILY_LOSS_LIMIT", "DAILY_LOSS_LIMIT: loss since previous close 50.00% > 25.00% of equity"),
        ("LOSS_STREAK_PAUSE", "LOSS_STREAK_PAUSE: 3 losing trades in a row, 0.5 exchange hours left"),
        ("VOLATILITY_UNKNOWN", "VOLATILITY_UNKNOWN: too little history to measure the ticker's volatility (was 0.5)"),
    ],
)
def test_messages_of_the_account(code: str, message: str) -> None:
    assert describe(RuleVerdict(DENIAL_CODES.index(DenialCode(code)), 0.5, 0.25), desk().limits) == message


# ---------------------------------------------------------------- the report


def report_of(risk: RiskManager) -> dict:  # type: ignore[type-arg] # JSON
    report = risk.get_risk_report()
    return json.loads(json.dumps(report, allow_nan=False))  # type: ignore[no-any-return]


def test_the_report_of_a_quiet_account() -> None:
    report = report_of(desk(94_000.0, BOOK))
    headroom = {row["rule"]: row for row in report.pop("headroom")}
    positions = report.pop("positions")
    kelly = report.pop("kelly")
    pairs = report.pop("correlations")
    assert report == {
        "can_trade": True,
        "reason": "OK",
        "equity": 100_000.0,
        "cash": 94_000.0,
        "drawdown_pct": 0.0,
        "lifetime_drawdown_pct": 0.0,
        "peak_equity": 100_000.0,
        "lifetime_peak": 100_000.0,
        "daily_loss_pct": 0.0,
        "total_drawdown_pct": 0.0,
        "exposure_pct": 6.0,
        "positions_count": 3,
        "circuit_breaker": {"active": False, "loss_streak": 0, "limit": 3, "pause_hours_left": 0.0},
        "halts": [],
        "quarantine": {},
        "vix": 15.0,
        "vix_age_sessions": 0.0,
        "vix_scale": 1.0,
        "price_age_sessions": 0.0,
        "sectors": [
            {"sector": "S0", "value": 5_000.0, "pct": 5.0, "positions": 2},
            {"sector": "S1", "value": 1_000.0, "pct": 1.0, "positions": 1},
        ],
        "halts_so_far": 0,
        "session": "2024-03-02",
        "config_fingerprint": RiskConfig().fingerprint,
    }
    assert positions[0] == {
        "ticker": "T00",
        "quantity": 30.0,
        "pending": 0.0,
        "price": 100.0,
        "value": 3_000.0,
        "pct": 3.0,
    }
    assert {(row["rule"], row["observed"], row["limit"]) for row in headroom.values()} >= {
        ("drawdown", 0.0, 10.0),
        ("daily_loss", 0.0, 2.0),
        ("exposure", 6.0, 80.0),
        ("positions", 3.0, 10.0),
        ("position", 3.0, 5.0),
        ("position_at_vix", 3.0, 5.0),
        ("sector", 5.0, 30.0),
        ("loss_streak", 0.0, 3.0),
        ("vix_age", 0.0, 3.0),
    }
    assert headroom["exposure"] == {
        "rule": "exposure",
        "code": "EXPOSURE_LIMIT",
        "unit": "%",
        "observed": 6.0,
        "limit": 80.0,
        "headroom": 74.0,
    }
    assert headroom["correlation"]["observed"] == pytest.approx(0.0, abs=1e-9)
    assert [(row["a"], row["b"]) for row in pairs] and all(abs(row["correlation"]) < 1e-9 for row in pairs)
    assert kelly == {
        "trades": 0.0,
        "win_rate": None,
        "mean_win_pct": None,
        "mean_loss_pct": None,
        "full_fraction_pct": pytest.approx(13.8333, abs=1e-3),
        "used_fraction_pct": pytest.approx(6.9167, abs=1e-3),
    }


def test_the_report_lists_every_halt_with_reason_since_and_release() -> None:
    clock = StoryClock()
    risk = desk(clock=clock, vix=60.0)
    risk.start_session(DAY)
    for pnl in (30.0, -10.0, -10.0, -10.0):
        risk.update_state(TradeResult("T00", pnl, 1_000.0))
    clock.forward(minutes=1)
    for _ in range(2):
        risk.read_equity(88_000.0, NAN, DAY)
    risk.halt("earnings", "ann")
    risk.quarantine({"T01": "unexplained"}, "cash differs by $5.00")
    report = report_of(risk)
    later = "2024-06-03T14:01:00+00:00"
    assert report["halts"] == [
        {
            "kind": "manual_halt",
            "code": "MANUAL_HALT",
            "reason": "earnings",
            "since": later,
            "releases_when": "ends when an operator resumes",
        },
        {
            "kind": "reconciliation",
            "code": "RECONCILIATION",
            "reason": "cash differs by $5.00",
            "since": None,
            "releases_when": "ends when the accounts agree",
        },
        {
            "kind": "halt",
            "code": "DRAWDOWN_HALT",
            "reason": "drawdown 12.00% of peak equity",
            "since": "2024-06-03",
            "releases_when": "ends when the shadow book recovers to -5.00%",
        },
        {
            "kind": "daily_loss",
            "code": "DAILY_LOSS_LIMIT",
            "reason": "lost 12.00% since the previous close",
            "since": later,
            "releases_when": "ends with the next session",
        },
        {
            "kind": "pause",
            "code": "LOSS_STREAK_PAUSE",
            "reason": "3 losing trades in a row",
            "since": NOW.isoformat(),
            "releases_when": "ends after 4.0 h of open exchange",
        },
    ]
    assert report["can_trade"] is False
    assert report["reason"] == f"MANUAL_HALT: earnings (since {later})"
    assert report["halts_so_far"] == 1
    assert report["session"] == "2024-06-03"
    assert report["quarantine"] == {"T01": "unexplained"}
    assert report["vix_scale"] == pytest.approx(25.0 / 60.0)
    rows = {row["rule"]: row for row in report["headroom"]}
    assert rows["drawdown"]["limit"] == 5.0
    assert rows["position_at_vix"]["limit"] == pytest.approx(5.0 * 25.0 / 60.0)
    assert report["kelly"]["win_rate"] == pytest.approx(0.25, abs=2e-3)
    assert report["kelly"]["mean_win_pct"] == pytest.approx(3.0)
    assert report["kelly"]["mean_loss_pct"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("release", "words"),
    [("equity", "ends when equity recovers to -5.00%"), ("manual", "ends when an operator resumes")],
)
def test_the_report_says_what_releases_a_halt(release: str, words: str) -> None:
    risk = desk(config=RiskConfig(halt_release=release, max_daily_loss_pct=50.0))  # type: ignore[arg-type] # a literal
    risk.read_equity(89_000.0, NAN, DAY)
    (breach,) = report_of(risk)["halts"]
    assert (breach["kind"], breach["reason"]) == ("breach", "drawdown 11.00% on a first reading")
    risk.read_equity(89_000.0, NAN, DAY)
    (halt,) = report_of(risk)["halts"]
    assert halt["releases_when"] == words


def test_what_is_unknown_is_null_in_the_report() -> None:
    nothing = report_of(RiskManager(clock=StoryClock()))
    for name in ("drawdown_pct", "daily_loss_pct", "exposure_pct", "vix", "vix_age_sessions", "vix_scale"):
        assert nothing[name] is None
    assert {halt["kind"] for halt in nothing["halts"]} == {"equity_suspect", "data"}
    risk = desk(95_000.0, [Holding("T00", 10.0, NAN), Holding("ZZZ", 5.0, 100.0)])
    report = report_of(risk)
    assert report["equity"] is None
    assert report["positions"][0]["value"] is None
    assert report["halts"][0]["reason"] == "equity is unknown"
    assert {row["sector"] for row in report["sectors"]} == {"S0", "Unknown"}
    assert {row["rule"]: row["observed"] for row in report["headroom"]}["position"] is None
    jump = desk()
    jump.read_equity(60_000.0, NAN, DAY)
    assert report_of(jump)["halts"][0]["reason"] == "equity jumped and was not confirmed"


def test_the_report_shows_the_pairs_that_move_together_first() -> None:
    stocks = {
        "A": Stock(mix={1: 1.0}),
        "B": Stock(mix={1: 0.9, 2: math.sqrt(0.19)}),
        "C": Stock(mix={1: -1.0}),
        "E": Stock(mix={}),
    }
    book = [holding(name, 1_000.0) for name in ("C", "A", "B")]
    pairs = report_of(desk(97_000.0, book, stocks))["correlations"]
    assert [(row["a"], row["b"]) for row in pairs] == [("A", "B"), ("B", "C"), ("A", "C")]
    assert pairs[0]["correlation"] == pytest.approx(0.9, abs=1e-3)
    unknown = report_of(desk(98_000.0, [holding("A", 1_000.0), holding("E", 1_000.0)], stocks))
    assert unknown["correlations"] == [{"a": "A", "b": "E", "correlation": None}]
    assert {row["rule"]: row["observed"] for row in unknown["headroom"]}["correlation"] is None


def test_the_report_counts_approved_entries() -> None:
    risk = desk()
    assert isinstance(risk.approve(buy("T00", 10.0)), ApprovedOrder)
    report = report_of(risk)
    assert (report["positions_count"], report["exposure_pct"]) == (1, 1.0)


def test_the_report_of_a_fault() -> None:
    risk = desk(store=StoryStore("rubbish"))
    (halt,) = report_of(risk)["halts"]
    assert (halt["kind"], halt["code"], halt["since"]) == ("state_invalid", "RISK_STATE_INVALID", NOW.isoformat())


def test_stale_data_is_a_halt_of_its_own_in_the_report() -> None:
    risk = desk(vix=NAN)
    (halt,) = report_of(risk)["halts"]
    assert (halt["kind"], halt["code"]) == ("data", "VIX_UNKNOWN")
    assert halt["reason"] == "VIX is unknown or inf sessions old > 3"


def test_reporting_changes_nothing() -> None:
    risk = desk(94_000.0, BOOK)
    before = risk.account.copy(), risk.slots.copy()
    risk.get_risk_report()
    assert (risk.account == before[0]) and (risk.slots == before[1]).all()
    risk.show_market(story_view(STOCKS))
    risk.show_portfolio(Portfolio(94_000.0, BOOK))
