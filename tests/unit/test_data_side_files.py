"""What lies beside the bars: events, membership, asset classes, the rate of cash, targets, several folders."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from trading_platform.configuration.market_tables import CashConfig
from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import CorporateEvent, EventKind, MarketPanel
from trading_platform.market_data.assets import shipped_classes
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.load_panel import with_cash_rate
from trading_platform.market_data.notices import Notice, NoticeKind, fold, merged
from trading_platform.market_data.rates import RateHistory, align_rate, shipped_rate, yield_of_discount
from trading_platform.market_data.side_files import ASSET_CLASSES
from trading_platform.market_data.weights import read_weights

DAYS = ("2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07")
HEADER = "date,ticker,open,high,low,close,volume\n"


def now() -> datetime:
    return datetime(2026, 11, 28, 2, tzinfo=UTC)


def rows(ticker: str, closes: list[float | None], days: tuple[str, ...] = DAYS) -> str:
    return "".join(
        f"{day},{ticker},{close},{close * 1.01},{close * 0.99},{close},1000\n"
        for day, close in zip(days, closes, strict=True)
        if close is not None
    )


MARKET = HEADER + rows("AAA", [10, 10, 10, 10, 10]) + rows("BBB", [20, 20, 20, 20, 20]) + rows("SPY", [500] * 5)


def folder(path: Path, bars: str = MARKET, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "bars.csv").write_text(bars)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def panel_of(path: Path, *, cache_dir: Path | None = None, with_benchmark: bool = False) -> MarketPanel:
    return FilesMarketData(path, now=now, cache_dir=cache_dir, with_benchmark=with_benchmark).history()


def test_split_and_special_dividend_become_numbers_of_their_bars(tmp_path: Path) -> None:
    bars = HEADER + rows("AAA", [10, 10, 5, 5, 5]) + rows("BBB", [20, 20, 20, 18, 18]) + rows("SPY", [500] * 5)
    events = "date,ticker,kind,new_ticker,ratio,cash\n2024-06-05,AAA,split,,2,\n2024-06-06,BBB,special_dividend,,,2\n"

    panel = panel_of(folder(tmp_path, bars, events=events))

    assert panel.split_ratio is not None
    assert panel.dividend is not None
    assert panel.split_ratio[:, 0].tolist() == [1, 1, 2, 1, 1]
    assert panel.dividend[:, 1].tolist() == [0, 0, 0, 2, 0]
    special = CorporateEvent(date(2024, 6, 6), "BBB", EventKind.SPECIAL_DIVIDEND, "", 1.0, 2.0)
    assert panel.events == (special,)
    assert panel.member is None  # the split explains the fall


def test_event_told_in_the_column_too_is_one_event_and_other_figures_are_refused(tmp_path: Path) -> None:
    lines = (HEADER + rows("AAA", [10, 10, 5, 5, 5]) + rows("SPY", [500] * 5)).splitlines()
    bars = "\n".join(f"{line},{'split_ratio' if i == 0 else '2' if i == 3 else ''}" for i, line in enumerate(lines))

    same = panel_of(folder(tmp_path / "same", bars, events="date,ticker,kind,ratio\n2024-06-05,AAA,split,2\n"))
    assert same.split_ratio is not None
    assert same.split_ratio[:, 0].tolist() == [1, 1, 2, 1, 1]
    with pytest.raises(
        MarketDataError, match=r"events.csv line 2: AAA split on 2024-06-05 is 3, and the column .* has 2"
    ):
        panel_of(folder(tmp_path / "other", bars, events="date,ticker,kind,ratio\n2024-06-05,AAA,split,3\n"))


def test_split_of_prices_that_are_adjusted_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="do not fall with the split of 4 on 2024-06-05"):
        panel_of(folder(tmp_path, events="date,ticker,kind,ratio\n2024-06-05,AAA,split,4\n"))


def test_event_of_an_unknown_ticker_alone_is_a_counted_notice(tmp_path: Path) -> None:
    panel = panel_of(folder(tmp_path, events="date,ticker,kind,cash\n2024-06-05,QQQQ,cash_merger,5\n"))

    assert panel.events == ()
    assert "left out: 1 event (no bars of QQQQ)" in panel.warnings


def test_event_on_a_day_without_a_session_holds_from_the_next_one(tmp_path: Path) -> None:
    bars = MARKET + rows("AAA", [10], ("2024-06-10",)) + rows("SPY", [500], ("2024-06-10",))

    panel = panel_of(folder(tmp_path, bars, events="date,ticker,kind,cash\n2024-06-08,BBB,delisting,\n"))

    assert [event.session for event in panel.events] == [date(2024, 6, 10)]
    assert np.isnan(panel.events[0].cash)


def test_every_wrong_row_of_events_comes_at_once_with_its_cure(tmp_path: Path) -> None:
    events = (
        "date,ticker,kind,new_ticker,ratio,cash\n2024-06-05,AAA,merger,,,\n2024-06-05,AAA,cash_merger,,,-1\n"
        "2024-06-05,AAA,stock_merger,AAA,1,\n2024-06-05,,delisting,,,\n"
    )

    with pytest.raises(MarketDataError) as refused:
        panel_of(folder(tmp_path, events=events))

    text = str(refused.value)
    assert "line 2: 'merger' is no kind of event" in text
    assert "line 3: cash '-1' is not a number above 0" in text
    assert "line 4: new_ticker AAA is the old one" in text
    assert "line 5: the ticker is missing" in text


def test_rename_moves_its_name_wherever_it_sorts_and_carries_sector_and_membership(tmp_path: Path) -> None:
    bars = HEADER + rows("AAA", [10, 10.1, None, None, None]) + rows("ZZZ", [None, None, 10.2, 10.3, 10.4])
    bars += rows("BBB", [20] * 5) + rows("SPY", [500] * 5)
    path = folder(
        tmp_path,
        bars,
        events="date,ticker,kind,new_ticker\n2024-06-05,AAA,rename,ZZZ\n",
        sectors="ticker,sector\nAAA,Energy\nBBB,Utilities\n",
        universe="ticker,from,to\nAAA,,2024-06-04\nBBB,,\n",
    )

    panel = panel_of(path)

    assert panel.tickers == ("BBB", "ZZZ")
    assert panel.close[:, 1].tolist() == [10, 10.1, 10.2, 10.3, 10.4]
    assert panel.sectors == ("Utilities", "Energy")
    assert panel.member is not None
    assert panel.member[:, 1].tolist() == [True, True, False, False, False]


def test_rename_onto_another_company_s_ticker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="BBB has bars before it takes the place of AAA on 2024-06-05"):
        panel_of(folder(tmp_path, events="date,ticker,kind,new_ticker\n2024-06-05,AAA,rename,BBB\n"))


def test_asked_for_tickers_bring_what_their_shares_become_without_new_risk(tmp_path: Path) -> None:
    bars = HEADER + rows("AAA", [10] * 5) + rows("BBB", [20, 20, None, None, None]) + rows("SPY", [500] * 5)
    path = folder(tmp_path, bars, events="date,ticker,kind,new_ticker,ratio\n2024-06-05,BBB,stock_merger,AAA,2\n")

    panel = FilesMarketData(path, now=now).history(["BBB"])

    assert panel.tickers == ("AAA", "BBB")
    assert panel.member is not None
    assert not panel.member[:, 0].any()
    assert panel.member[:, 1].all()


def test_snapshot_keeps_events_membership_rate_and_classes(tmp_path: Path) -> None:
    path = folder(
        tmp_path / "data",
        events="date,ticker,kind,cash\n2024-06-05,BBB,cash_merger,21\n",
        universe="ticker,from,to\nAAA,2024-06-04,\nBBB,,\n",
        cash_rate="date,rate\n2024-06-03,5.25\n",
        assets="ticker,asset_class\nBBB,gold\n",
    )
    first = panel_of(path, cache_dir=tmp_path / "cache", with_benchmark=True)
    second = panel_of(path, cache_dir=tmp_path / "cache", with_benchmark=True)
    other = panel_of(path, cache_dir=tmp_path / "cache")

    assert second.data_hash == first.data_hash != other.data_hash
    assert second.events == first.events != ()
    assert second.asset_classes == ("stock", "gold", "equity_us")
    assert second.benchmark_ticker == "SPY"
    assert second.member is not None
    assert second.member[:, 2].all()  # the benchmark is not asked to be a member
    assert second.cash_rate is not None
    assert second.cash_rate.tolist() == [5.25] * 5


def test_asset_class_is_the_sector_of_a_fund_and_common_funds_are_known(tmp_path: Path) -> None:
    bars = MARKET.replace("BBB", "TLT")

    panel = panel_of(folder(tmp_path, bars, sectors="ticker,sector\nAAA,Energy\nTLT,Bonds\n"))

    assert panel.asset_classes == ("stock", "government_bonds")
    assert panel.sectors == ("Energy", "government_bonds")
    assert not any("without a sector" in text for text in panel.warnings)


def test_unknown_asset_class_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"assets.csv line 2: 'golds' is no asset class: did you mean 'gold'"):
        panel_of(folder(tmp_path, assets="ticker,asset_class\nBBB,golds\n"))


def test_shipped_table_names_known_classes_only() -> None:
    assert set(shipped_classes().values()) <= set(ASSET_CLASSES)
    assert shipped_classes()["AGG"] == "government_bonds"
    assert len(shipped_classes()) > 150


def test_discount_of_a_bill_becomes_its_yield() -> None:
    assert yield_of_discount(np.array([5.27]))[0] == pytest.approx(100 * 365 * 0.0527 / (360 - 91 * 0.0527))
    assert yield_of_discount(np.array([0.0]))[0] == 0.0


def test_folder_s_bill_rate_is_a_discount_and_its_cash_rate_is_a_yield(tmp_path: Path) -> None:
    bills = panel_of(folder(tmp_path / "a", tbill_3m="date,rate\n2024-06-03,5.0\n"))
    cash = panel_of(
        folder(tmp_path / "b", tbill_3m="date,rate\n2024-06-03,9.0\n", cash_rate="date,rate\n2024-06-04,5.0\n")
    )

    assert bills.cash_rate is not None
    assert cash.cash_rate is not None
    assert bills.cash_rate[0] == pytest.approx(100 * 365 * 0.05 / (360 - 91 * 0.05))
    assert np.isnan(cash.cash_rate[0])
    assert cash.cash_rate[1:].tolist() == [5.0] * 4


def test_wrong_rates_are_refused_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        MarketDataError, match=r"2 things[^!]*line 2: rate 'high' is not[^!]*line 3: rate 525 is outside"
    ):
        panel_of(folder(tmp_path, cash_rate="date,rate\n2024-06-03,high\n2024-06-04,525\n"))


def test_wrong_rows_of_several_files_are_one_error_a_line_each(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError) as found:
        panel_of(
            folder(
                tmp_path,
                cash_rate="date,rate\n2024-06-03,high\n2024-06-04,525\n",
                universe="ticker,from,to\nAAA,2024-01-01,2023-01-01\n",
                events="date,ticker,kind,new_ticker,ratio,cash\n2024-06-04,AAA,split,,0,\n",
            )
        )
    lines = str(found.value).split("\n  - ")
    assert lines[0] == "4 things are wrong with the data:"
    assert [line.partition(".csv")[0] for line in lines[1:]] == ["cash_rate", "cash_rate", "universe", "events"]


def test_last_rate_holds_and_it_is_said() -> None:
    history = RateHistory(np.array(["2024-05-01"], dtype="datetime64[D]"), np.array([5.0]), "cash_rate.csv")

    rate, notices = align_rate(history, np.array(DAYS, dtype="datetime64[D]"))

    assert rate.tolist() == [5.0] * 5
    assert str(notices[0]).startswith(
        "guessed: 5 sessions at the last known rate of cash (cash_rate.csv ends on 2024-05-01"
    )


def test_shipped_rate_is_the_public_series_as_a_yield() -> None:
    history = shipped_rate()

    assert (str(history.days[0]), str(history.days[-1])) == ("1990-01-02", "2017-12-29")
    assert history.values[0] == pytest.approx(100 * 365 * 0.0758 / (360 - 91 * 0.0758))
    assert history.values[-1] == pytest.approx(100 * 365 * 0.0137 / (360 - 91 * 0.0137))


@pytest.mark.parametrize(("setting", "expected"), [(3.0, 3.0), (0.0, 0.0)])
def test_cash_setting_gives_every_session_its_rate(tmp_path: Path, setting: float, expected: float) -> None:
    panel = panel_of(folder(tmp_path, cash_rate="date,rate\n2024-06-03,5.0\n"))

    asked = with_cash_rate(panel, CashConfig(setting))

    assert asked.cash_rate is not None
    assert asked.cash_rate.tolist() == [expected] * 5
    assert asked.data_hash != panel.data_hash


def test_cash_from_the_folder_wins_over_the_shipped_series(tmp_path: Path) -> None:
    own = with_cash_rate(panel_of(folder(tmp_path / "a", cash_rate="date,rate\n2024-06-03,5.0\n")), CashConfig())
    shipped = with_cash_rate(panel_of(folder(tmp_path / "b")), CashConfig())

    assert own.cash_rate is not None
    assert shipped.cash_rate is not None
    assert own.cash_rate[0] == 5.0
    assert shipped.cash_rate[0] == pytest.approx(shipped_rate().values[-1])
    assert "the shipped bill rate (DTB3) ends on 2017-12-29" in shipped.warnings[-1]


def test_first_folder_gives_a_ticker_s_whole_series_and_events_add_up(tmp_path: Path) -> None:
    one = folder(
        tmp_path / "one",
        vix="date,close\n2024-06-03,20\n",
        events="date,ticker,kind,cash\n2024-06-05,BBB,cash_merger,21\n",
    )
    bars = HEADER + rows("AAA", [99] * 5) + rows("CCC", [30] * 5) + rows("CCC", [30], ("2024-05-31",))
    two = folder(
        tmp_path / "two",
        bars,
        vix="date,close\n2024-06-03,40\n",
        events="date,ticker,kind,cash\n2024-06-06,CCC,delisting,0\n",
    )

    panel = FilesMarketData([one, two], now=now).history()

    assert panel.tickers == ("AAA", "BBB", "CCC")
    assert panel.close[0].tolist() == [10, 20, 30]
    assert panel.vix[0] == 20
    assert [event.ticker for event in panel.events] == ["BBB", "CCC"]
    assert any(f"left out: 1 ticker that an earlier folder has ({two}: AAA)" in text for text in panel.warnings)
    assert any(
        "left out: 1 bar before the benchmark begins (SPY begins on 2024-06-03)" in text for text in panel.warnings
    )


def test_weights_are_dates_by_strategies_by_tickers(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(
        "date,strategy,ticker,weight\n2024-06-03,one,AAA,0.5\n2024-06-03,one,BBB,0.5\n2024-06-05,two,AAA,0.2\n"
    )

    found = read_weights(path)

    assert found.strategies == ("one", "two")
    assert found.tickers == ("AAA", "BBB")
    assert found.weights[0].tolist()[0] == [0.5, 0.5]
    assert np.isnan(found.weights[0, 1]).all()  # says nothing on that day
    assert found.weights[1, 1].tolist() == [0.2, 0.0]


def test_wrong_weights_are_refused_by_strategy_and_date_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(
        "date,strategy,ticker,weight\n2024-06-03,one,AAA,-0.5\n2024-06-03,one,BBB,nan\n"
        "2024-06-05,two,AAA,0.7\n2024-06-05,two,BBB,0.7\n2024-02-30,two,BBB,0.7\n"
    )

    with pytest.raises(MarketDataError) as refused:
        read_weights(path)

    text = str(refused.value)
    assert "line 2: one AAA 2024-06-03: weight -0.5 is not a share from 0 to 1" in text
    assert "line 3: one BBB 2024-06-03: weight nan" in text
    assert "two 2024-06-05: weights sum to 1.4, more than 1" in text
    assert "line 6: date '2024-02-30' is no date" in text


def test_notices_fold_into_a_verdict_and_what_deserves_a_look() -> None:
    notices = merged(
        [
            Notice(NoticeKind.LARGE_MOVE, 2, "first"),
            Notice(NoticeKind.ADJUSTED, 1, "before -> after"),
            Notice(NoticeKind.LARGE_MOVE, 1_000, "second"),
        ]
    )
    calm = fold([str(notice) for notice in notices])
    urgent = fold([str(Notice(NoticeKind.UNEXPLAINED_JUMP, 1, "AAA"))])

    assert calm.verdict == "data: fine to trade; 1,002 remarks"
    assert calm.attention == ("guessed: 1 ticker whose prices were adjusted (before -> after)",)
    assert calm.rest == ("remark: 1,002 moves of more than 40 % in a day (first)",)
    assert urgent.verdict == "data: look at this before you trade; 1 remark"
    assert fold([]).verdict == "data: fine to trade"
