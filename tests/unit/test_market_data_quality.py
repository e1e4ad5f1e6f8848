"""Limits of the checks, at and beside the threshold; notices are counted, impossible values refused."""

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
from trading_platform.market_data.notices import Notice, NoticeKind
from trading_platform.market_data.quality import (
    ABSURD_RATIO,
    check_bars,
    check_vix,
    impossible,
)

CALENDAR = NyseCalendar()
NUMBERS = ("open", "high", "low", "close", "volume")
SESSIONS = CALENDAR.sessions_between(date(2024, 6, 3), date(2024, 6, 28))


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


def check(bars: Bars) -> list[Notice]:
    return list(check_bars(bars, CALENDAR, max_bad_pct=50.0).notices)


def with_value(bars: Bars, column: str, row: int, value: float) -> Bars:
    values: Floats = getattr(bars, column).copy()
    values[row] = value
    changes: dict[str, Any] = {column: values}
    return replace(bars, **changes)


def test_ordinary_bars_raise_no_notice() -> None:
    assert check(bars_of({"AAA": [10, 10.1, 10.2, 9.9], "BBB": [5, 6.9, 4.2, 5.8]})) == []


def test_move_of_exactly_forty_percent_is_no_notice_and_more_is() -> None:
    assert check(bars_of({"AAA": [10, 14, 14.1]})) == []
    assert check(bars_of({"AAA": [10, 14.01, 14.1]})) == [
        Notice(NoticeKind.LARGE_MOVE, 1, "AAA 2024-06-04 close moved +40.1%")
    ]
    assert check(bars_of({"AAA": [10, 5.99, 5.9]})) == [
        Notice(NoticeKind.LARGE_MOVE, 1, "AAA 2024-06-04 close moved -40.1%")
    ]


def test_notices_are_counted_over_all_tickers_and_print_their_first_case() -> None:
    found = check(bars_of({"AAA": [10, 15, 15.1], "BBB": [10, 10, 4.5]}))

    assert [str(notice) for notice in found] == [
        "remark: 2 moves of more than 40 % in a day (AAA 2024-06-04 close moved +50.0%)"
    ]


@pytest.mark.parametrize("factor", [1 / 2, 1 / 4, 3.0, 1 / 10])
def test_gap_by_a_whole_factor_looks_like_a_split_and_ends_new_risk(factor: float) -> None:
    bars = bars_of({"AAA": [10, 10, 10, 10, 10, 10, 10 * factor, 10.1 * factor]})

    checked = check_bars(bars, CALENDAR)

    assert [(jump.ticker, jump.session) for jump in checked.jumps] == [("AAA", date(2024, 6, 11))]
    assert checked.notices[0].kind is NoticeKind.UNEXPLAINED_JUMP
    assert "looks like a split" in checked.notices[0].example


def test_gap_by_a_whole_factor_is_a_crash_where_many_times_the_usual_money_changes_hands() -> None:
    bars = bars_of({"AAA": [10, 10, 10, 10, 10, 10, 5, 5.05]})
    busy = with_value(bars, "volume", 6, 12_000.0)

    checked = check_bars(busy, CALENDAR)

    assert checked.jumps == ()
    assert NoticeKind.SPLIT_LIKE in [notice.kind for notice in checked.notices]


@pytest.mark.parametrize("explained", [("AAA", date(2024, 6, 11)), ("AAA", None)])
def test_explained_jump_ends_nothing_and_another_ticker_s_explanation_does_not_count(
    explained: tuple[str, date | None],
) -> None:
    bars = bars_of({"AAA": [10, 10, 10, 10, 10, 10, 5, 5.05]})

    assert check_bars(bars, CALENDAR, explained={explained}).jumps == ()
    assert len(check_bars(bars, CALENDAR, explained={("BBB", None)}).jumps) == 1


def test_recorded_split_is_no_jump_and_an_unrecorded_one_is() -> None:
    bars = bars_of({"AAA": [100, 100, 4, 4.1]})
    recorded = replace(bars, split_ratio=np.array([1.0, 1.0, 25.0, 1.0]))

    assert check(recorded) == []
    assert [jump.session for jump in check_bars(bars, CALENDAR).jumps] == [date(2024, 6, 5)]


def test_recorded_dividend_of_half_the_price_is_no_jump() -> None:
    bars = bars_of({"AAA": [10, 10, 10, 10, 10, 10, 5, 5.05]})
    paid = replace(bars, dividend=np.array([0.0] * 6 + [5.0, 0.0]))

    assert check(paid) == [
        Notice(NoticeKind.STALE, 4, "AAA 2024-06-03 and the next two bars have the same four prices")
    ]


def test_fall_on_the_day_of_a_recorded_split_is_a_large_move_and_not_a_second_split() -> None:
    bars = replace(bars_of({"AAA": [100, 100, 25, 25.2]}), split_ratio=np.array([1.0, 1.0, 2.2, 1.0]))

    assert [notice.kind for notice in check(bars)] == [NoticeKind.LARGE_MOVE]
    assert "close moved -45.0%" in check(bars)[0].example


@pytest.mark.parametrize("factor", [ABSURD_RATIO * 0.9, 1 / (ABSURD_RATIO * 0.9)])
def test_jump_just_inside_the_absurd_ratio_is_a_remark(factor: float) -> None:
    assert check(bars_of({"AAA": [10, 10 * factor, 10 * factor]}))[0].kind is NoticeKind.LARGE_MOVE


@pytest.mark.parametrize("factor", [ABSURD_RATIO * 1.1, 1 / (ABSURD_RATIO * 1.1)])
def test_jump_just_outside_the_absurd_ratio_ends_new_risk_where_the_next_bar_confirms_it(factor: float) -> None:
    bars = bars_of({"AAA": [10, 10 * factor, 10 * factor]})

    assert [jump.ticker for jump in check_bars(bars, CALENDAR).jumps] == ["AAA"]


@pytest.mark.parametrize("factor", [ABSURD_RATIO * 1.1, 1 / (ABSURD_RATIO * 1.1)])
def test_jump_outside_the_absurd_ratio_on_the_last_bar_is_an_unknown_day(factor: float) -> None:
    checked = check_bars(bars_of({"AAA": [10, 10 * factor], "BBB": [5, 5.1]}), CALENDAR)

    assert checked.notices[0].kind is NoticeKind.BAD_BAR
    assert len(checked.bars) == 3
    assert checked.jumps == ()


def test_large_jump_is_a_bad_bar_only_when_the_next_bar_takes_it_back() -> None:
    assert check(bars_of({"AAA": [10, 55, 55, 54]}))[0].kind is NoticeKind.LARGE_MOVE
    assert check(bars_of({"AAA": [10, 45, 10, 10]}))[0].count == 2  # below the spike ratio of 5
    assert "takes it back" in check(bars_of({"AAA": [10, 51, 10, 10]}))[0].example


def test_jump_is_not_seen_between_two_tickers() -> None:
    assert check(bars_of({"AAA": [10, 10.1], "BBB": [5000, 5010]})) == []


def test_price_tolerance_covers_float_noise_and_nothing_a_trader_could_see() -> None:
    bars = bars_of({"AAA": [10, 10.1]})

    assert check(with_value(bars, "low", 1, 10.1 * (1 + 5e-6))) == []
    assert check(with_value(bars, "high", 1, 10.1 * (1 - 5e-6))) == []
    for column, value in (("low", 10.1 * (1 + 2e-5)), ("high", 10.1 * (1 - 2e-5))):
        assert "does not hold" in impossible(with_value(bars, column, 1, value))[1]


def test_bad_bars_are_taken_out_up_to_their_share_and_refused_above_it() -> None:
    closes = {"AAA": [10.0 + day / 100 for day in range(20)]}
    one = with_value(bars_of(closes), "low", 3, -1.0)
    two = with_value(one, "low", 5, -1.0)

    assert len(check_bars(one, CALENDAR).bars) == 18
    assert len(check_bars(two, CALENDAR, max_bad_pct=11.0).bars) == 17
    with pytest.raises(MarketDataError, match=r"2 of 19 bars cannot be true, more than the 5 %[^!]*row 4[^!]*row 6"):
        check_bars(two, CALENDAR)


def test_bars_of_the_future_are_refused_all_at_once_and_those_of_today_are_not() -> None:
    bars = bars_of({"AAA": [10, 10.1, 10.2]})

    assert check_bars(bars, CALENDAR, today=date(2024, 6, 5)).notices == ()
    with pytest.raises(MarketDataError, match=r"2 things[^!]*row 2: AAA 2024-06-04 is yet to come[^!]*row 3"):
        check_bars(bars, CALENDAR, today=date(2024, 6, 3))


def test_rows_that_agree_are_one_bar_and_rows_that_disagree_are_refused() -> None:
    bars = bars_of({"AAA": [10, 10.1, 10.2]})
    twice = replace(bars, session=bars.session[[0, 1, 1]], **{n: getattr(bars, n)[[0, 1, 1]] for n in NUMBERS})
    differs = with_value(twice, "volume", 2, 7.0)

    checked = check_bars(twice, CALENDAR)
    assert len(checked.bars) == 2
    assert checked.notices == (Notice(NoticeKind.ROW_REPEATED, 1, "row 3: AAA 2024-06-04"),)
    with pytest.raises(MarketDataError, match="row 3: AAA 2024-06-04 repeats row 2 with another volume"):
        check_bars(differs, CALENDAR)


def test_wide_range_zero_volume_and_stale_bars_are_counted() -> None:
    wide = with_value(bars_of({"AAA": [10, 10, 10.2, 10.1]}), "low", 2, 3.3)
    silent = with_value(bars_of({"AAA": [10, 10.1, 10.2]}), "volume", 1, 0.0)

    assert check(wide) == [Notice(NoticeKind.WIDE_RANGE, 1, "AAA 2024-06-05 low 3.3, high 10.302")]
    assert check(silent) == [Notice(NoticeKind.ZERO_VOLUME, 1, "AAA 2024-06-04")]
    assert check(bars_of({"AAA": [10, 10, 10.2, 10.2]})) == []
    assert check(bars_of({"AAA": [10, 10, 10, 10, 10.2], "BBB": [5, 5, 5.1, 5.1, 5.2]})) == [
        Notice(NoticeKind.STALE, 2, "AAA 2024-06-03 and the next two bars have the same four prices")
    ]


def test_stale_bars_do_not_run_from_one_ticker_into_the_next() -> None:
    assert check(bars_of({"AAA": [9, 10, 10], "BBB": [10, 10, 11]})) == []


def test_gaps_and_early_ends_are_counted_and_a_late_start_is_not_suspicious() -> None:
    nan = np.nan
    found = check(
        bars_of({"AAA": [10, nan, nan, 10.1, 10.2], "BBB": [nan, 5, 5.1, 5, 5.2], "CCC": [7, 7.1, 7, nan, nan]})
    )

    assert found == [
        Notice(NoticeKind.GAP, 2, "AAA 2024-06-03 is followed by 2 sessions without a bar"),
        Notice(NoticeKind.ENDS_EARLY, 1, "CCC has no bar after 2024-06-05: delisted, renamed, or an old download?"),
    ]


def test_one_session_without_any_bar_is_unknown_and_many_are_refused() -> None:
    one = bars_of({"AAA": [10, np.nan, 10.1], "BBB": [5, np.nan, 5.1]})
    two = bars_of({"AAA": [10, np.nan, np.nan, 10.1]})

    assert Notice(NoticeKind.EMPTY_SESSION, 1, "first 2024-06-04") in check_bars(one, CALENDAR).notices
    with pytest.raises(MarketDataError, match=r"no ticker has a bar on 2024-06-04, an NYSE session \(2 such sessions"):
        check_bars(two, CALENDAR)


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


def test_ticker_that_begins_where_another_ends_at_its_price_is_named_as_a_likely_rename() -> None:
    nan = np.nan
    ended = {"AAA": [10, 10.1, nan, nan, nan], "BBB": [5, 5.1, 5, 5.1, 5.2]}

    (renamed,) = [
        n for n in check(bars_of({**ended, "CCC": [nan, nan, 10.2, 10, 10.1]})) if n.kind is NoticeKind.ENDS_EARLY
    ]
    (other,) = [n for n in check(bars_of({**ended, "CCC": [nan, nan, 30, 31, 30]})) if n.kind is NoticeKind.ENDS_EARLY]

    assert "CCC begins on the next session at its price" in renamed.example
    assert "CCC" not in other.example
