"""Where an account's day was not the kernel's: market stories, each difference with its cause, in cents."""

from __future__ import annotations

import pytest

from trading_platform.core.replay_causes import (
    Bar,
    Cause,
    DayFill,
    Facts,
    Item,
    Sort,
    TickerDay,
    explain_day,
    sums_of,
)

BAR = Bar(50.0, 52.0, 44.0, 51.0)


def bought(quantity: float, price: float, fees: float = 0.0) -> DayFill:
    return DayFill(Sort.ENTRY, quantity, round(quantity * price, 2), fees)


def sold(quantity: float, price: float, sort: Sort = Sort.EXIT) -> DayFill:
    return DayFill(sort, quantity, round(quantity * price, 2), 0.0)


def entry_day(live: list[DayFill], replay: list[DayFill], facts: Facts, bar: Bar = BAR) -> TickerDay:
    """Return a day on which a ticker was bought, and perhaps stopped out, marked at the close."""

    def value(fills: list[DayFill]) -> float:
        held = sum(fill.quantity if fill.sort is Sort.ENTRY else -fill.quantity for fill in fills)
        return round(held * bar.close, 2)

    return TickerDay("AAA", 0.0, value(live), value(replay), tuple(live), tuple(replay), bar, facts)


def exit_day(live: list[DayFill], replay: list[DayFill], facts: Facts, held: float = 10.0) -> TickerDay:
    """Return a day on which a position of `held` shares, worth 50 each the evening before, was to be left."""
    ours, theirs = (round((held - sum(fill.quantity for fill in fills)) * BAR.close, 2) for fills in (live, replay))
    return TickerDay("AAA", held * 50.0, ours, theirs, tuple(live), tuple(replay), BAR, facts)


def causes_of(day: TickerDay) -> dict[str, int]:
    items = explain_day([day])
    assert sum(item.cents for item in items) == day.cents
    return sums_of(items)


BOUGHT = Facts(asked_entry=10.0, replay_entry=10.0, limit=51.0)
LEFT = Facts(asked_exit=10.0, replay_exit=10.0)


def test_same_fills_have_nothing_to_explain() -> None:
    assert explain_day([entry_day([bought(10, 50.02)], [bought(10, 50.02)], BOUGHT)]) == []


def test_another_price_at_the_open_is_the_auctions() -> None:
    day = entry_day([bought(10, 50.12)], [bought(10, 50.02)], BOUGHT)
    assert causes_of(day) == {"auction_price": -100}


def test_price_that_the_session_did_not_have_is_unexplained() -> None:
    day = entry_day([bought(10, 52.40)], [bought(10, 50.02)], BOUGHT)
    assert causes_of(day) == {"unexplained": -2380}


def test_fees_are_told_apart_from_prices() -> None:
    day = entry_day([bought(10, 50.12, fees=0.35)], [bought(10, 50.02)], BOUGHT)
    assert causes_of(day) == {"auction_price": -100, "fees": -35}


def test_entry_filled_in_part_is_partial_for_the_shares_and_the_auctions_for_the_price() -> None:
    day = entry_day([bought(4, 50.12)], [bought(10, 50.02)], BOUGHT)
    # 6 shares less, each would have made 51 - 50.02; the 4 were 10 cents dearer
    assert causes_of(day) == {"auction_price": -40, "partial": -588}


def test_entry_that_the_broker_refused_is_a_refusal() -> None:
    day = entry_day([], [bought(10, 50.02)], BOUGHT._replace(refused="rejected: HTTP 403"))
    assert causes_of(day) == {"refusal": -980}


def test_entry_that_nobody_refused_and_did_not_come_is_unexplained() -> None:
    day = entry_day([], [bought(10, 50.02)], BOUGHT._replace(limit=55.0))
    assert causes_of(day) == {"unexplained": -980}


def test_entry_whose_limit_lies_beside_the_open_may_miss_the_auction() -> None:
    day = entry_day([], [bought(10, 50.02)], BOUGHT._replace(limit=50.1))
    assert causes_of(day) == {"auction_price": -980}


def test_another_decision_is_unexplained_unless_a_refusal_made_room() -> None:
    extra = entry_day([bought(10, 50.02)], [], Facts(asked_entry=10.0, limit=51.0))
    assert causes_of(extra) == {"unexplained": 980}
    refused = entry_day([], [bought(10, 50.0)], BOUGHT._replace(refused="quarantine"))._replace(ticker="BBB")
    assert sums_of(explain_day([refused, extra])) == {"refusal": -1000 + 980}


def test_exit_that_had_to_wait_is_a_refusal() -> None:
    day = exit_day([], [sold(10, 49.98)], LEFT._replace(refused="the cancellation of its stop is pending"))
    assert causes_of(day) == {"refusal": 1020}


def test_stop_before_the_exit_is_the_stops_price() -> None:
    day = exit_day([sold(10, 47.0, Sort.PROTECTIVE)], [sold(10, 49.98)], LEFT)
    assert causes_of(day) == {"stop_price": -2980}


def test_stop_that_slips_is_the_stops_price() -> None:
    day = exit_day([sold(10, 44.98, Sort.PROTECTIVE)], [sold(10, 45.0, Sort.PROTECTIVE)], Facts())
    assert causes_of(day) == {"stop_price": -20}


def test_stop_that_only_one_book_met_is_unexplained() -> None:
    day = exit_day([], [sold(10, 45.0, Sort.PROTECTIVE)], Facts())
    assert causes_of(day) == {"unexplained": 6000}


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (Facts(edited="changed by its owner"), Cause.OWNER),
        (Facts(uncovered="no stop that can trade"), Cause.REFUSAL),
        (Facts(adopted="-10 shares came or went"), Cause.UNEXPLAINED),
        (Facts(event="+10 shares: SPLIT"), Cause.EVENT),
        (Facts(late="sell of 10 was told a day late"), Cause.LATE),
    ],
)
def test_what_is_known_of_a_ticker_is_the_cause(facts: Facts, cause: Cause) -> None:
    day = exit_day([], [sold(10, 45.0, Sort.PROTECTIVE)], facts)
    assert causes_of(day) == {cause.value: 6000}


def test_stop_of_a_smaller_entry_has_the_entrys_cause() -> None:
    stop = Sort.PROTECTIVE
    day = entry_day([bought(4, 50.0), sold(4, 45.0, stop)], [bought(10, 50.0), sold(10, 45.0, stop)], BOUGHT)
    assert causes_of(day) == {"partial": 3000}


def test_stop_in_a_bar_that_cannot_be_right_waits_for_its_correction() -> None:
    day = exit_day([], [sold(10, 45.0, Sort.PROTECTIVE)], Facts())._replace(bar=BAR._replace(low=10.0))
    assert causes_of(day) == {"doubtful_bar": 6000}


def test_value_that_moved_without_a_fill_is_unexplained() -> None:
    day = TickerDay("AAA", 500.0, 480.0, 510.0, (), (), BAR)
    assert explain_day([day]) == [Item(Cause.UNEXPLAINED, "AAA", -3000, "neither fills nor orders say why")]
