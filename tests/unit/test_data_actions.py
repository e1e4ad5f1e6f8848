"""Which splits and dividends are in the prices already is told from the prices."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.reading_rules import Adjustment, Rules

SESSIONS = NyseCalendar().sessions_between(date(2019, 1, 2), date(2022, 12, 30))
PRICES = ["open", "high", "low", "close"]
SPLIT_ROW, DIVIDEND_ROWS = 500, np.arange(40, len(SESSIONS), 63)


def now() -> datetime:
    return datetime(2026, 11, 28, 2, tzinfo=UTC)


def adjusted_bars() -> pd.DataFrame:
    """Four years of one ticker, adjusted for everything."""
    random = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0003, 0.013, len(SESSIONS))))
    opened = close * np.exp(random.normal(0.0, 0.007, len(SESSIONS)))
    return pd.DataFrame(
        {
            "date": SESSIONS.astype(str),
            "ticker": "AAA",
            "open": opened,
            "high": np.maximum(opened, close) * 1.005,
            "low": np.minimum(opened, close) * 0.995,
            "close": close,
            "volume": random.integers(1_000_000, 3_000_000, len(SESSIONS)),
        }
    )


ADJUSTED = adjusted_bars()
STEP = np.ones(len(SESSIONS))
STEP[DIVIDEND_ROWS] = 1 / (1 - 0.007)
FACTOR = np.cumprod(STEP[::-1])[::-1] / STEP  # of all dividends after a session
WITH_DIVIDENDS = ADJUSTED.assign(**{name: ADJUSTED[name] * FACTOR for name in PRICES})
PAID = np.zeros(len(SESSIONS))
PAID[DIVIDEND_ROWS] = 0.007 * WITH_DIVIDENDS.close.to_numpy()[DIVIDEND_ROWS - 1]
SPLIT = np.where(np.arange(len(SESSIONS)) == SPLIT_ROW, 4.0, 0.0)
BEFORE = np.where(np.arange(len(SESSIONS)) < SPLIT_ROW, 4.0, 1.0)
AS_TRADED = WITH_DIVIDENDS.assign(**{name: WITH_DIVIDENDS[name] * BEFORE for name in PRICES})


def joined(bars: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Return `bars` with further columns; a name's underscore is a blank."""
    table = bars.copy()
    for name, values in columns.items():
        table[name.replace("_", " ")] = values
    return table


def panel_of(folder: Path, bars: pd.DataFrame, adjustment: Adjustment = "auto") -> MarketPanel:
    bars.to_csv(folder / "bars.csv", index=False)
    return FilesMarketData(folder, now=now, rules=Rules(None, adjustment)).history()


def counts(panel: MarketPanel) -> tuple[int, int]:
    splits = 0 if panel.split_ratio is None else int(np.count_nonzero(panel.split_ratio != 1.0))
    return splits, 0 if panel.dividend is None else int(np.count_nonzero(panel.dividend))


def test_yahoo_s_plain_prices_hold_splits_and_pay_dividends(tmp_path: Path) -> None:
    bars = joined(WITH_DIVIDENDS, Adj_Close=ADJUSTED.close, Dividends=PAID, Stock_Splits=SPLIT)

    panel = panel_of(tmp_path, bars)

    assert counts(panel) == (0, len(DIVIDEND_ROWS))
    np.testing.assert_allclose(panel.close[:, 0], WITH_DIVIDENDS.close)
    assert any("the split of 4 of AAA on 2020-12-24" in text and "not applied again" in text for text in panel.warnings)


def test_yahoo_s_adjusted_history_holds_both(tmp_path: Path) -> None:
    panel = panel_of(tmp_path, joined(ADJUSTED, Dividends=PAID, Stock_Splits=SPLIT))

    assert counts(panel) == (0, 0)
    np.testing.assert_allclose(panel.close[:, 0], ADJUSTED.close)


def test_prices_as_they_traded_hold_neither(tmp_path: Path) -> None:
    bars = joined(AS_TRADED, Adj_Close=ADJUSTED.close, divCash=PAID * BEFORE, splitFactor=np.maximum(SPLIT, 1))

    panel = panel_of(tmp_path, bars)

    assert counts(panel) == (1, len(DIVIDEND_ROWS))
    np.testing.assert_allclose(panel.close[:, 0], AS_TRADED.close)
    assert panel.member is None


def test_large_dividend_is_seen_in_the_gap_without_an_adjusted_close(tmp_path: Path) -> None:
    scale = np.where(np.arange(len(SESSIONS)) < 300, 1.3, 1.0)
    raw = ADJUSTED.assign(**{name: ADJUSTED[name] * scale for name in PRICES})
    special = np.where(np.arange(len(SESSIONS)) == 300, 0.3 * ADJUSTED.close.shift(1), 0.0)

    assert counts(panel_of(tmp_path, joined(raw, Dividends=special))) == (0, 1)
    assert counts(panel_of(tmp_path, joined(ADJUSTED, Dividends=special))) == (0, 0)


@pytest.mark.parametrize(("setting", "expected"), [("raw", WITH_DIVIDENDS), ("auto", ADJUSTED), ("adjusted", ADJUSTED)])
def test_adjusted_close_is_used_unless_the_setting_says_otherwise(
    tmp_path: Path, setting: Adjustment, expected: pd.DataFrame
) -> None:
    bars = joined(WITH_DIVIDENDS, Adj_Close=ADJUSTED.close)

    panel = panel_of(tmp_path, bars, setting)

    for name in PRICES:
        np.testing.assert_allclose(getattr(panel, name)[:, 0], expected[name])


def test_intraday_files_beside_daily_ones_are_left_out_and_alone_refused(tmp_path: Path) -> None:
    hours = pd.DataFrame(
        [(f"2019-01-{day:02} {hour}:30", 10, 11, 9, 10, 5) for day in (2, 3, 4) for hour in range(10, 16)],
        columns=["datetime", "open", "high", "low", "close", "volume"],
    )
    (tmp_path / "hours").mkdir()
    hours.to_csv(tmp_path / "hours" / "AAA.csv", index=False)

    panel = panel_of(tmp_path, ADJUSTED)

    assert panel.n_sessions == len(SESSIONS)
    assert "left out: 1 file (hours/AAA.csv: intraday bars)" in panel.warnings
    with pytest.raises(Exception, match="holds intraday bars"):
        FilesMarketData(tmp_path / "hours", now=now).history()
