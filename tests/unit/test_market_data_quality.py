"""Limits of the checks, at and beside the threshold; suspicions are counted, impossible values refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Floats
from trading_platform.market_data.bars import Bars, encode_tickers, join_bars
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.quality import (
    ABSURD_RATIO,
    Suspicion,
    SuspicionKind,
    check_bars,
    check_order,
    check_vix,
)
from trading_platform.market_data.schedule import Sessions

SESSIONS = NyseCalendar().sessions_between(date(2024, 6, 3), date(2024, 6, 28))


def bars_of(closes: dict[str, list[float]], volume: float = 1000.0, spread: float = 0.01) -> Bars:
    """Bars with open = close, a narrow range and the given closes; NaN leaves a bar out."""
    rows = [
        (name, session, close)
        for name, values in closes.items()
        for session, close in zip(SESSIONS, values, strict=False)
        if not np.isnan(close)
    ]
    names, ticker = encode_tickers([name for name, _, _ in rows])
    close = np.array([close for _, _, close in rows])
    return Bars(
        names=names,
        ticker=ticker,
        session=np.array([session for _, session, _ in rows], dtype="datetime64[D]"),
        open=close.copy(),
        high=close * (1 + spread),
        low=close * (1 - spread),
        close=close,
        volume=np.full(len(rows), volume),
        place=lambda row: f"row {row + 1}",
    )


def sessions_for(bars: Bars) -> Sessions:
    return SESSIONS[: int(np.searchsorted(SESSIONS, bars.session.max())) + 1]


def check(bars: Bars) -> list[Suspicion]:
    return check_bars(bars, sessions_for(bars))


def with_value(bars: Bars, column: str, row: int, value: float) -> Bars:
    values: Floats = getattr(bars, column).copy()
    values[row] = value
    changes: dict[str, Any] = {column: values}
    return replace(bars, **changes)


def test_ordinary_bars_raise_no_suspicion() -> None:
    assert check(bars_of({"AAA": [10, 10.1, 10.2, 9.9], "BBB": [5, 6.9, 4.2, 5.8]})) == []


def test_move_of_exactly_forty_percent_is_no_suspicion_and_more_is() -> None:
    assert check(bars_of({"AAA": [10, 14, 14.1]})) == []
    assert check(bars_of({"AAA": [10, 14.01, 14.1]})) == [
        Suspicion(SuspicionKind.LARGE_MOVE, 1, "AAA 2024-06-04 close moved +40.1%")
    ]
    assert check(bars_of({"AAA": [10, 5.99, 5.9]})) == [
        Suspicion(SuspicionKind.LARGE_MOVE, 1, "AAA 2024-06-04 close moved -40.1%")
    ]


def test_suspicions_are_counted_over_all_tickers_and_print_their_first_case() -> None:
    found = check(bars_of({"AAA": [10, 15, 15.1], "BBB": [10, 10, 4.5]}))

    assert [str(suspicion) for suspicion in found] == ["large_move: 2 x, e.g. AAA 2024-06-04 close moved +50.0%"]


@pytest.mark.parametrize("factor", [1 / 2, 1 / 4, 3.0, 1 / 10])
def test_gap_by_a_whole_factor_looks_like_a_split(factor: float) -> None:
    kinds = [suspicion.kind for suspicion in check(bars_of({"AAA": [10, 10 * factor, 10.1 * factor]}))]

    assert kinds == [SuspicionKind.LARGE_MOVE, SuspicionKind.SPLIT_LIKE]


def test_recorded_split_is_no_jump_and_an_unrecorded_one_is_an_error_at_twenty() -> None:
    bars = bars_of({"AAA": [100, 100, 4, 4.1]})
    recorded = replace(bars, split_ratio=np.array([1.0, 1.0, 25.0, 1.0]))

    assert check(recorded) == []
    with pytest.raises(MarketDataError, match=r"row 3: AAA 2024-06-05: close 4 after 100 .* factor of 0\.04"):
        check(bars)


def test_fall_on_the_day_of_a_recorded_split_is_a_large_move_and_not_a_second_split() -> None:
    bars = replace(bars_of({"AAA": [100, 100, 25, 25.2]}), split_ratio=np.array([1.0, 1.0, 2.2, 1.0]))

    assert [suspicion.kind for suspicion in check(bars)] == [SuspicionKind.LARGE_MOVE]
    assert "close moved -45.0%" in check(bars)[0].example


@pytest.mark.parametrize("factor", [ABSURD_RATIO * 0.99, 1 / (ABSURD_RATIO * 0.99)])
def test_jump_just_inside_the_absurd_ratio_is_a_suspicion(factor: float) -> None:
    assert check(bars_of({"AAA": [10, 10 * factor, 10 * factor]}))[0].kind is SuspicionKind.LARGE_MOVE


@pytest.mark.parametrize("factor", [ABSURD_RATIO * 1.01, 1 / (ABSURD_RATIO * 1.01)])
def test_jump_just_outside_the_absurd_ratio_is_an_error(factor: float) -> None:
    with pytest.raises(MarketDataError, match=r"row 2: AAA 2024-06-04: close .* is a factor of"):
        check(bars_of({"AAA": [10, 10 * factor, 10 * factor]}))


def test_large_jump_is_an_error_only_when_the_next_bar_takes_it_back() -> None:
    assert check(bars_of({"AAA": [10, 60, 60, 59]}))[0].kind is SuspicionKind.LARGE_MOVE
    assert check(bars_of({"AAA": [10, 49, 10, 10]}))[0].count == 2  # below the spike ratio of 5
    with pytest.raises(MarketDataError, match="takes it back"):
        check(bars_of({"AAA": [10, 51, 10, 10]}))


def test_jump_is_not_seen_between_two_tickers() -> None:
    assert check(bars_of({"AAA": [10, 10.1], "BBB": [5000, 5010]})) == []


def test_price_tolerance_covers_float_noise_and_nothing_a_trader_could_see() -> None:
    bars = bars_of({"AAA": [10, 10.1]})

    assert check(with_value(bars, "low", 1, 10.1 * (1 + 5e-6))) == []
    assert check(with_value(bars, "high", 1, 10.1 * (1 - 5e-6))) == []
    for column, value in (("low", 10.1 * (1 + 2e-5)), ("high", 10.1 * (1 - 2e-5))):
        with pytest.raises(MarketDataError, match="does not hold"):
            check(with_value(bars, column, 1, value))


def test_wide_range_zero_volume_and_stale_bars_are_counted() -> None:
    wide = with_value(bars_of({"AAA": [10, 10, 10.2, 10.1]}), "low", 2, 3.3)
    silent = with_value(bars_of({"AAA": [10, 10.1, 10.2]}), "volume", 1, 0.0)

    assert check(wide) == [Suspicion(SuspicionKind.WIDE_RANGE, 1, "AAA 2024-06-05 low 3.3, high 10.302")]
    assert check(silent) == [Suspicion(SuspicionKind.ZERO_VOLUME, 1, "AAA 2024-06-04")]
    assert check(bars_of({"AAA": [10, 10, 10.2, 10.2]})) == []
    assert check(bars_of({"AAA": [10, 10, 10, 10, 10.2], "BBB": [5, 5, 5.1, 5.1, 5.2]})) == [
        Suspicion(SuspicionKind.STALE, 2, "AAA 2024-06-03 and the next two bars have the same four prices")
    ]


def test_stale_bars_do_not_run_from_one_ticker_into_the_next() -> None:
    assert check(bars_of({"AAA": [9, 10, 10], "BBB": [10, 10, 11]})) == []


def test_gaps_and_early_ends_are_counted_and_a_late_start_is_not_suspicious() -> None:
    nan = np.nan
    found = check(
        bars_of({"AAA": [10, nan, nan, 10.1, 10.2], "BBB": [nan, 5, 5.1, 5, 5.2], "CCC": [7, 7.1, 7, nan, nan]})
    )

    assert found == [
        Suspicion(SuspicionKind.GAP, 2, "AAA 2024-06-03 is followed by 2 sessions without a bar"),
        Suspicion(SuspicionKind.ENDS_EARLY, 1, "CCC has no bar after 2024-06-05 (delisted, or an old download?)"),
    ]


def test_session_without_any_bar_is_an_error() -> None:
    bars = bars_of({"AAA": [10, np.nan, 10.1], "BBB": [5, np.nan, 5.1]})

    with pytest.raises(MarketDataError, match=r"no ticker has a bar on 2024-06-04, an NYSE session \(1 such sessions"):
        check(bars)


def test_check_order_names_the_row_and_the_one_before() -> None:
    bars = bars_of({"AAA": [10, 10.1, 10.2]})
    swapped = replace(bars, session=bars.session[[0, 2, 1]])
    twice = replace(bars, session=bars.session[[0, 1, 1]])

    check_order(bars)
    with pytest.raises(MarketDataError, match="row 3: AAA 2024-06-04 comes after 2024-06-05; sort the file by date"):
        check_order(swapped)
    with pytest.raises(MarketDataError, match="row 3: AAA 2024-06-04 repeats row 2; delete one"):
        check_order(twice)


def test_check_order_accepts_sorting_by_ticker_and_by_date() -> None:
    bars = bars_of({"AAA": [10, 10.1], "BBB": [5, 5.1]})
    by_date = np.array([0, 2, 1, 3])

    check_order(bars)
    check_order(replace(bars, ticker=bars.ticker[by_date], session=bars.session[by_date]))


def test_joined_bars_keep_their_place_and_their_missing_actions() -> None:
    one = bars_of({"BBB": [5, 5.1]})
    two = replace(
        bars_of({"AAA": [10, 10.1]}), place=lambda row: f"b.csv line {row + 2}", dividend=np.array([0.0, 0.3])
    )

    joined = join_bars([one, two])

    assert joined.names == ("AAA", "BBB")
    assert [joined.label(row) for row in (0, 1, 2, 3)] == [
        "row 1: BBB 2024-06-03",
        "row 2: BBB 2024-06-04",
        "b.csv line 2: AAA 2024-06-03",
        "b.csv line 3: AAA 2024-06-04",
    ]
    assert joined.dividend is not None
    assert joined.dividend.tolist() == [0.0, 0.0, 0.0, 0.3]
    assert joined.split_ratio is None


@pytest.mark.parametrize("value", [5.0, 150.0])
def test_vix_at_its_limits_passes(value: float) -> None:
    check_vix(SESSIONS[:1], np.array([value]), "vix")


@pytest.mark.parametrize("value", [4.99, 150.01, np.nan, np.inf, -13.0])
def test_vix_beside_its_limits_is_refused(value: float) -> None:
    with pytest.raises(MarketDataError, match=r"vix: 2024-06-04 VIX .* is outside 5..150"):
        check_vix(SESSIONS[:2], np.array([13.0, value]), "vix")
