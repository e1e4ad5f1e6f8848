"""Each cap is told once: check, room, largest order, explanation, report, messages and kernel read the same table."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from risk_config import RiskConfig
from tests.risk_world import STOCKS, Stock, buy, desk, holding, story_view
from trading_platform.core.entries import check_order, entry_price, review_entry
from trading_platform.core.risk.caps import CAP_CODES, OK, RuleVerdict, broken_cap, cap_numbers, cap_room, cap_slack
from trading_platform.core.risk.denial_codes import CAPS, DENIAL_CODES, N_CAPS, DenialCode, Measures
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.risk.messages import describe
from trading_platform.core.types import ApprovedOrder, Denial, Holding

LIMITS = limits_of(RiskConfig().to_dict())
EMPTY = Measures(0.0, 0.0, 0.0, 0.0, 0, True, -1.0, -1)
EQUITY, CASH = 100_000.0, 90_000.0
# For each cap: a book that it alone refuses, and what VIX is then.
ALONE = {
    DenialCode.MAX_POSITIONS: (EMPTY._replace(positions=10), 15.0),
    DenialCode.CORRELATION_LIMIT: (EMPTY._replace(positions=1, correlation=0.9, correlated=0), 15.0),
    DenialCode.POSITION_LIMIT: (EMPTY._replace(position=4_950.0, is_new=False), 15.0),
    DenialCode.VIX_LIMIT: (EMPTY._replace(position=2_450.0, is_new=False), 50.0),
    DenialCode.SECTOR_LIMIT: (EMPTY._replace(sector=29_950.0), 15.0),
    DenialCode.EXPOSURE_LIMIT: (EMPTY._replace(gross=79_950.0), 15.0),
    DenialCode.INSUFFICIENT_CASH: (EMPTY._replace(reserved=89_950.0), 15.0),
}
EVERY = pytest.mark.parametrize("cap", CAPS, ids=[cap.name for cap in CAPS])


def test_every_cap_has_a_case() -> None:
    assert [cap.code for cap in CAPS] == list(ALONE)
    assert len({cap.name for cap in CAPS}) == N_CAPS == len(CAP_CODES)


@EVERY
def test_cap_refuses_alone_leaves_no_room_and_names_itself(cap: object) -> None:
    code = cap.code  # type: ignore[attr-defined] # a Cap
    measures, vix = ALONE[code]
    verdict = broken_cap(100.0, EQUITY, CASH, vix, measures, LIMITS)
    assert DENIAL_CODES[verdict.code] is code
    assert verdict.observed > verdict.limit
    room, binding = cap_room(EQUITY, CASH, vix, measures, LIMITS)
    assert DENIAL_CODES[binding] is code
    assert room < 100.0
    others = [c for c in range(N_CAPS) if CAPS[c].code is not code]
    if code is DenialCode.POSITION_LIMIT:  # the cap that VIX scales is never wider
        others.remove(CAP_CODES.index(DENIAL_CODES.index(DenialCode.VIX_LIMIT)))
    for c in others:  # nobody else objects
        numbers = cap_numbers(c, EQUITY, CASH, vix, measures, LIMITS)
        assert numbers.used + numbers.per_dollar * 100.0 <= numbers.limit + cap_slack(c), CAPS[c].name


@EVERY
def test_cap_has_words_with_its_numbers(cap: object) -> None:
    code = cap.code  # type: ignore[attr-defined] # a Cap
    words = describe(RuleVerdict(DENIAL_CODES.index(code), 0.5, 0.25), LIMITS, "AAA", "BBB")
    assert words.startswith(f"{code}: AAA")
    assert re.search(r"50\.00%|0\.50|0\.5\b", words)
    assert re.search(r"25\.00%|0\.25", words)


@EVERY
def test_cap_is_explained_and_reported(cap: object) -> None:
    code, name = cap.code, cap.name  # type: ignore[attr-defined] # a Cap
    risk = desk(95_000.0, [holding("T00", 3_000.0), holding("T01", 2_000.0)])
    told = risk.explain("T04", "buy", 5.0, 100.0)
    assert [check.code for check in told.checks].count(code) == 1
    rows = risk.get_risk_report()["headroom"]
    (row,) = (row for row in rows if row["rule"] == name)
    assert row["code"] == code.value
    assert row["headroom"] == pytest.approx(row["limit"] - row["observed"])


def test_room_is_what_the_check_lets_pass_to_the_half_cent() -> None:
    rng = np.random.default_rng(11)
    bound = dict.fromkeys(CAP_CODES, 0)
    for _ in range(2_000):
        gross, sector, position, reserved = rng.random(4) * [90_000.0, 35_000.0, 6_000.0, 95_000.0]
        measures = Measures(
            float(gross),
            float(sector),
            float(position),
            float(reserved),
            int(rng.integers(0, 11)),
            bool(rng.random() < 0.7),
            float(rng.uniform(-1.0, 1.0)),
            0,
        )
        vix = float(rng.uniform(10.0, 60.0))
        room, binding = cap_room(EQUITY, CASH, vix, measures, LIMITS)
        bound[binding] += 1
        assert broken_cap(room, EQUITY, CASH, vix, measures, LIMITS).code == OK or room == 0.0
        assert broken_cap(room + 0.006, EQUITY, CASH, vix, measures, LIMITS).code != OK
    assert all(count > 10 for count in bound.values()), bound


def test_room_of_what_is_unknown_is_none() -> None:
    for measures in (EMPTY._replace(correlation=math.nan), EMPTY._replace(gross=math.nan)):
        assert cap_room(EQUITY, CASH, 15.0, measures, LIMITS)[0] == 0.0
        assert broken_cap(1.0, EQUITY, CASH, 15.0, measures, LIMITS).code != OK


# ---------------------------------------------------------------- one answer from all who are asked

PAIRED = {**STOCKS, "T03": Stock(price=100.0, sector="S3", mix={1: 0.9, 4: math.sqrt(0.19)})}  # moves with T00
ANSWERS: dict[str, int] = {}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    held=st.one_of(
        st.dictionaries(st.integers(0, 11), st.sampled_from([500.0, 2_000.0, 4_500.0, 9_000.0]), max_size=11),
        st.dictionaries(st.integers(0, 11), st.just(9_000.0), min_size=5, max_size=9),
    ),
    pending=st.sampled_from([0.0, 10.0]),
    cash=st.sampled_from([300.0, 20_000.0, 90_000.0]),
    vix=st.sampled_from([15.0, 30.0, 60.0]),
    column=st.integers(0, 11),
    shares=st.sampled_from([0.0, 0.5, 1.0, 7.0, 20.0, 45.0, 60.0]),
    exposure=st.sampled_from([80.0, 100.0]),
)
def test_everyone_gives_the_same_answer_to_an_order(
    held: dict[int, float], pending: float, cash: float, vix: float, column: int, shares: float, exposure: float
) -> None:
    names = sorted(PAIRED)
    book = [
        Holding(names[i], dollars / 100.0, 100.0, pending if n == 0 else 0.0, 100.0)
        for n, (i, dollars) in enumerate(held.items())
    ]
    config = RiskConfig(max_exposure_pct=exposure)
    risk = desk(cash, book, PAIRED, vix, config)
    ticker = names[column]
    allowed, message = risk.validate_order(ticker, "buy", shares, 100.0)
    told = risk.explain(ticker, "buy", shares, 100.0)
    view, limits = story_view(PAIRED, vix), risk.limits
    kernel = check_order(risk.account, risk.slots, view.market, view.t, column, shares, 100.0, limits)
    entry = review_entry(risk.account, risk.slots, view.market, view.t, column, limits.max_position, limits)
    dollars = risk.calculate_position_size(ticker, 1.0, 1e9)
    verdict = risk.approve(buy(ticker, shares)) if shares > 0.0 else None
    code = message.partition(":")[0]
    ANSWERS[code] = ANSWERS.get(code, 0) + 1
    event(code)
    assert DENIAL_CODES[kernel.code].value == code
    assert (told.allowed, told.message) == (allowed, message)
    assert told.allowed == (all(check.passed for check in told.checks) and shares * 100.0 >= 100.0 - 0.005)
    if isinstance(verdict, Denial):
        assert (verdict.message, verdict.largest_quantity) == (message, told.largest_quantity)
    elif verdict is not None:
        assert isinstance(verdict, ApprovedOrder)
        assert allowed
        assert shares <= told.largest_quantity
    if told.largest_quantity > 0.0:
        assert desk(cash, book, PAIRED, vix, config).validate_order(ticker, "buy", told.largest_quantity, 100.0)[0]
        assert not desk(cash, book, PAIRED, vix, config).validate_order(
            ticker, "buy", told.largest_quantity + 1.0, 100.0
        )[0]
    if column not in held:
        price = entry_price(100.0, limits)
        assert entry.quantity == math.floor(dollars / price + 1e-9)
        assert entry.verdict.code != OK or entry.quantity > 0.0


def test_random_orders_reached_every_cap() -> None:
    test_everyone_gives_the_same_answer_to_an_order()
    missing = {cap.code.value for cap in CAPS} | {"OK", "BELOW_MINIMUM"}
    missing.remove("INSUFFICIENT_CASH")  # without shorts an exposure of 100 % is the same, and is looked at before
    assert not missing - ANSWERS.keys(), missing - ANSWERS.keys()
