"""The bar cache: it fetches what is missing, notices moved history, and survives damaged files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from trading_platform.core.errors import MarketDataError
from trading_platform.market_data.cache import (
    NO_BARS,
    OVERLAP_SESSIONS,
    WHOLE_EVERY,
    BarCache,
    CachedHistory,
    KnownBars,
    TickerBars,
    joined,
)
from trading_platform.market_data.calendar import NyseCalendar

CALENDAR = NyseCalendar()
START, MIDDLE, END = date(2024, 1, 2), date(2024, 2, 26), date(2024, 3, 1)


class Service:
    """A data service whose prices can be moved by an adjustment factor, and corrected from a day on."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], date, date]] = []
        self.factor: dict[str, float] = {}
        self.correction: tuple[date, float] | None = None
        self.listed: dict[str, date] = {}
        self.late: dict[str, date] = {}  # bars from this day on are not out yet
        self.absurd: dict[tuple[str, date], float] = {}  # by which factor a low is off

    def __call__(self, tickers: Sequence[str], start: date, end: date) -> Mapping[str, TickerBars]:
        self.asked.append((tuple(tickers), start, end))
        return {name: self.bars(name, start, end) for name in tickers if name != "NONE"}

    def bars(self, name: str, start: date, end: date) -> TickerBars:
        days = CALENDAR.sessions_between(max(start, self.listed.get(name, start)), end)
        close = 100.0 + (days - np.datetime64("2024-01-01", "D")).astype(float)
        close = close * self.factor.get(name, 1.0)
        if self.correction is not None:
            close = np.where(days >= np.datetime64(self.correction[0], "D"), close * self.correction[1], close)
        low = close - 1
        for (ticker, day), factor in self.absurd.items():
            low = np.where((days == np.datetime64(day, "D")) & (ticker == name), low * factor, low)
        bars = TickerBars(days, np.column_stack([close, close + 1, low, close, close * 1000]))
        out = self.late.get(name)
        return bars if out is None else bars.between(start, out - timedelta(days=1))


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def reading(service: Service, tmp_path: Path) -> Callable[..., dict[str, TickerBars]]:
    def read(tickers: Sequence[str] = ("AAA", "BBB"), start: date = START, end: date = END) -> dict[str, TickerBars]:
        return CachedHistory(BarCache(tmp_path), CALENDAR, service).read(tickers, start, end)

    return read


Reading = Callable[..., dict[str, TickerBars]]


def test_first_reading_fetches_all_in_one_question(service: Service, reading: Reading) -> None:
    found = reading()
    assert service.asked == [(("AAA", "BBB"), START, END)]
    assert found["AAA"].sessions.tolist() == CALENDAR.sessions_between(START, END).tolist()
    assert found["AAA"].values[0].tolist() == [101.0, 102.0, 100.0, 101.0, 101_000.0]


def test_second_reading_fetches_nothing_and_is_equal(service: Service, reading: Reading) -> None:
    first, second = reading(), reading()
    assert len(service.asked) == 1
    for name in first:
        assert np.array_equal(first[name].values, second[name].values)
        assert np.array_equal(first[name].sessions, second[name].sessions)


def test_later_end_fetches_the_tail_with_an_overlap(service: Service, reading: Reading) -> None:
    reading(end=MIDDLE)
    found = reading()
    overlap = CALENDAR.sessions_between(START, MIDDLE)[-OVERLAP_SESSIONS].item()
    assert service.asked[1:] == [(("AAA", "BBB"), overlap, END)]
    assert len(found["AAA"]) == len(CALENDAR.sessions_between(START, END))


def test_earlier_start_fetches_the_ticker_anew(service: Service, reading: Reading) -> None:
    reading(start=MIDDLE)
    assert len(reading()["AAA"]) == len(CALENDAR.sessions_between(START, END))
    assert service.asked[1:] == [(("AAA", "BBB"), START, END)]


def test_shorter_range_is_cut_from_what_is_known(service: Service, reading: Reading) -> None:
    reading()
    assert reading(start=MIDDLE, end=MIDDLE)["AAA"].sessions.tolist() == [MIDDLE]
    assert len(service.asked) == 1


def test_new_ticker_alone_is_fetched(service: Service, reading: Reading) -> None:
    reading(["AAA"])
    reading(["AAA", "CCC"])
    assert service.asked[1:] == [(("CCC",), START, END)]


def test_split_refetches_that_ticker_from_its_beginning(service: Service, reading: Reading) -> None:
    reading(end=MIDDLE)
    service.factor["BBB"] = 0.5
    found = reading()
    assert [names for names, _, _ in service.asked] == [("AAA", "BBB"), ("AAA", "BBB"), ("BBB",)]
    assert service.asked[2][1:] == (START, END)
    assert found["BBB"].values[0, 3] == 50.5
    assert found["AAA"].values[0, 3] == 101.0


def test_small_dividend_is_noticed_too(service: Service, reading: Reading) -> None:
    reading(end=MIDDLE)
    service.factor["AAA"] = 0.9995
    assert reading()["AAA"].values[0, 3] == 101.0 * 0.9995


def test_corrected_newest_bar_is_replaced_without_refetching_all(service: Service, reading: Reading) -> None:
    reading(end=MIDDLE)
    service.correction = (MIDDLE, 1.01)
    found = reading()
    assert len(service.asked) == 2
    row = found["AAA"].sessions.tolist().index(MIDDLE)
    assert found["AAA"].values[row, 3] == pytest.approx((100 + 56) * 1.01)
    assert found["AAA"].values[0, 3] == 101.0


def test_ticker_without_bars_is_known_to_have_none(service: Service, reading: Reading) -> None:
    assert len(reading(["NONE"])["NONE"]) == 0
    reading(["NONE"])
    assert len(service.asked) == 1
    reading(["NONE"], end=date(2024, 3, 4))
    assert len(service.asked) == 2


def test_recent_listing_is_not_asked_for_again(service: Service, reading: Reading) -> None:
    service.listed["AAA"] = MIDDLE
    first = reading(["AAA"])["AAA"].sessions[0].item()
    reading(["AAA"])
    assert (first, len(service.asked)) == (MIDDLE, 1)


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"x" * 5000])
def test_damaged_file_is_fetched_anew(service: Service, reading: Reading, tmp_path: Path, damage: bytes) -> None:
    good = reading(["AAA"])
    (tmp_path / "AAA.parquet").write_bytes(damage)
    again = reading(["AAA"])
    assert len(service.asked) == 2
    assert np.array_equal(good["AAA"].values, again["AAA"].values)


def test_truncated_file_is_fetched_anew(service: Service, reading: Reading, tmp_path: Path) -> None:
    good = reading(["AAA"])
    path = tmp_path / "AAA.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    again = reading(["AAA"])
    assert len(service.asked) == 2
    assert np.array_equal(good["AAA"].values, again["AAA"].values)


def test_unsorted_file_is_not_used(tmp_path: Path) -> None:
    days = np.array(["2024-01-03", "2024-01-02"], dtype="datetime64[D]")
    BarCache(tmp_path).store("AAA", KnownBars(TickerBars(days, np.ones((2, 5))), START, END, END))
    assert BarCache(tmp_path).load("AAA") is None


def test_odd_tickers_have_files_of_their_own(tmp_path: Path) -> None:
    cache = BarCache(tmp_path)
    for name in ("BRK.B", "BRK-B", "A/B", "../../etc"):
        cache.store(name, KnownBars(NO_BARS, START, END, END))
    assert len(list(tmp_path.glob("*.parquet"))) == 4
    assert cache.load("A/B") is not None


def test_folder_that_cannot_be_written_costs_only_time(service: Service, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    history = CachedHistory(BarCache(blocked / "bars"), CALENDAR, service)
    assert len(history.read(["AAA"], START, END)["AAA"]) > 0


def test_without_a_cache_everything_is_fetched(service: Service) -> None:
    history = CachedHistory(None, CALENDAR, service)
    for _ in range(2):
        assert len(history.read(["AAA"], START, END)["AAA"]) > 0
    assert len(service.asked) == 2


def test_long_form_has_every_row_once(service: Service) -> None:
    bars = joined({"BBB": service.bars("BBB", START, MIDDLE), "AAA": service.bars("AAA", START, MIDDLE)}, "x")
    assert bars.names == ("AAA", "BBB")
    assert len(bars) == 2 * len(CALENDAR.sessions_between(START, MIDDLE))
    assert bars.label(0) == "x: AAA 2024-01-02"


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(MarketDataError, match="no bars for any of 2 tickers"):
        joined({"AAA": NO_BARS, "BBB": NO_BARS}, "x")


# ---------------------------------------------------------------- what comes late, and what is corrected later


def test_newest_bar_that_is_not_out_yet_is_asked_for_again(service: Service, reading: Reading) -> None:
    service.late = {"AAA": END}
    assert reading()["AAA"].sessions[-1] == np.datetime64("2024-02-29")
    service.late = {}
    found = reading()
    assert found["AAA"].sessions[-1] == np.datetime64("2024-03-01")
    assert [names for names, _, _ in service.asked] == [("AAA", "BBB"), ("AAA",)]


def test_ticker_that_has_not_traded_for_long_is_not_asked_for_again(service: Service, reading: Reading) -> None:
    service.late = {"AAA": date(2024, 2, 20)}
    reading()
    reading()
    assert len(service.asked) == 1


def test_old_bar_that_is_corrected_is_corrected_here_within_a_week(service: Service, reading: Reading) -> None:
    day = date(2024, 1, 10)
    service.absurd = {("AAA", day): 0.1}
    before = reading(end=MIDDLE)["AAA"]
    service.absurd = {}
    later = MIDDLE + WHOLE_EVERY
    same = reading(end=later - timedelta(days=3))["AAA"]
    place = before.sessions.tolist().index(day)
    assert before.values[place, 2] == same.values[place, 2] < 20.0  # the overlap does not reach back so far
    after = reading(end=later)["AAA"]
    assert after.values[place, 2] == service.bars("AAA", START, END).values[place, 2]
    assert service.asked[-1] == (("AAA", "BBB"), START, later)


def test_file_of_an_older_version_is_read_anew_as_a_whole_once(
    service: Service, reading: Reading, tmp_path: Path
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    reading(end=MIDDLE)
    for path in tmp_path.glob("*.parquet"):
        table = pq.read_table(path)
        kept = {key: value for key, value in table.schema.metadata.items() if key != b"whole_to"}
        pq.write_table(table.replace_schema_metadata(kept), path)
    reading(end=MIDDLE)
    assert len(service.asked) == 1  # nothing newer is wanted
    reading()
    assert service.asked[-1] == (("AAA", "BBB"), START, END)
