"""Targets made elsewhere, traded as strategies: what a row means, from when on, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.lot_world import LotStory, story_panel, story_rules
from trading_platform.configuration.trading_config import TradingConfig, load_config
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.engine.given_weights import GivenWeights
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.registry import DEFAULT_SET, active_strategies

HEAD = "date,strategy,ticker,weight\n"


def panel() -> MarketPanel:
    return story_panel({"A": [100.0] * 6, "B": [50.0] * 6})


def written(folder: Path, rows: str, name: str = "weights.csv") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(HEAD + rows)
    return file


def row(market: MarketPanel, t: int, strategy: str, ticker: str, weight: float) -> str:
    return f"{market.session(t)},{strategy},{ticker},{weight}\n"


def config(**tables: object) -> TradingConfig:
    return load_config(None, tables)


def test_row_holds_from_its_date_to_the_next_and_what_it_does_not_name_is_nothing(tmp_path: Path) -> None:
    market = panel()
    rows = row(market, 1, "mine", "A", 0.03) + row(market, 1, "mine", "B", 0.02) + row(market, 4, "mine", "B", 0.04)
    mine = GivenWeights("mine", written(tmp_path, rows))
    assert mine.targets(market).tolist() == [[0.0, 0.0], *[[0.03, 0.02]] * 3, *[[0.0, 0.04]] * 2]
    (signals,) = prepare_signals(market, [mine])
    assert signals.is_target
    assert signals.exit[4].tolist() == [True, False]


def test_ticker_that_was_renamed_goes_by_both_of_its_names(tmp_path: Path) -> None:
    market = replace(panel(), tickers=("AX", "B"), securities=("A", "B"))  # A became AX
    rows = row(market, 1, "mine", "A", 0.03) + row(market, 4, "mine", "AX", 0.02)
    mine = GivenWeights("mine", written(tmp_path, rows))
    assert mine.targets(market)[:, 0].tolist() == [0.0, 0.03, 0.03, 0.03, 0.02, 0.02]
    assert (mine.stands_aside(market), mine.notice(market)) == ("", "")
    other = replace(market, securities=())
    assert mine.targets(other)[:, 0].tolist() == [0.0] * 4 + [0.02] * 2
    assert "wants A, of which there are no bars" in mine.notice(other)


def test_date_without_a_session_counts_from_the_next(tmp_path: Path) -> None:
    market = panel()
    before = market.session(0).replace(year=market.session(0).year - 1)
    mine = GivenWeights("mine", written(tmp_path, f"{before},mine,A,0.05\n"))
    assert mine.targets(market)[:, 0].tolist() == [0.05] * 6


def test_target_known_at_a_close_is_traded_at_the_next_open(tmp_path: Path) -> None:
    market = panel()
    mine = GivenWeights("mine", written(tmp_path, row(market, 1, "mine", "A", 0.03)))
    story = LotStory(market, list(prepare_signals(market, [mine])), story_rules())
    assert len(story.until(1)) == 0
    assert len(story.until(2)) == 1
    assert story.shares("A") == [30.0]


def test_strategies_of_a_file_trade_apart_and_alone_unless_others_are_named(tmp_path: Path) -> None:
    market = panel()
    file = written(tmp_path / "data", row(market, 1, "one", "A", 0.03) + row(market, 2, "two", "B", 0.02))
    data = {"data.source": "files", "data.folder": str(tmp_path / "data")}
    assert [strategy.name for strategy in configured_strategies(config(**data))] == ["one", "two"]
    named = config(**data, **{"strategies.enabled": ("momentum", "two")})
    assert [strategy.name for strategy in configured_strategies(named)] == ["momentum", "two"]
    elsewhere = config(**{"strategies.weights": str(file)})
    assert [strategy.name for strategy in configured_strategies(elsewhere)] == ["one", "two"]
    assert tuple(strategy.name for strategy in configured_strategies(config())) == DEFAULT_SET


def test_ticker_without_bars_is_told_and_a_strategy_of_none_stands_aside(tmp_path: Path) -> None:
    market = panel()
    rows = row(market, 1, "one", "A", 0.03) + row(market, 1, "one", "ZZZ", 0.03) + row(market, 1, "two", "YYY", 0.03)
    file = written(tmp_path, rows)
    active, notices = active_strategies([GivenWeights("one", file), GivenWeights("two", file)], market)
    assert [strategy.name for strategy in active] == ["one"]
    assert "no bars of any of its tickers: YYY" in notices[0]
    assert notices[1] == "weights.csv: one wants ZZZ, of which there are no bars"


def test_ticker_without_a_bar_is_not_wanted_that_day(tmp_path: Path) -> None:
    market = panel()
    close = market.close.copy()
    close[3, 0] = np.nan
    mine = GivenWeights("mine", written(tmp_path, row(market, 1, "mine", "A", 0.03)))
    gone = replace(market, close=close)
    assert mine.targets(gone)[:, 0].tolist() == [0.0, 0.03, 0.03, 0.0, 0.03, 0.03]
    assert not prepare_signals(gone, [mine])[0].exit[3, 0]  # an unknown day is no reason to leave


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        ("2024-01-02,momentum,A,0.1\n", FixConfigError, "momentum is the name of a strategy of this program"),
        ("2024-01-02,mine,A,1.1\n", MarketDataError, "weight 1.1 is not a share from 0 to 1"),
        ("2024-01-02,mine,A,0.6\n2024-01-02,mine,B,0.6\n", MarketDataError, "weights sum to 1.2, more than 1"),
    ],
)
def test_file_that_cannot_be_traded_is_refused(tmp_path: Path, rows: str, error: type[Exception], said: str) -> None:
    file = written(tmp_path, rows)
    with pytest.raises(error, match=said):
        configured_strategies(config(**{"strategies.weights": str(file)}))


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FixConfigError, match=r"strategies.weights: there is no file .*nowhere.csv"):
        configured_strategies(config(**{"strategies.weights": str(tmp_path / "nowhere.csv")}))


def test_what_is_written_later_is_taken_in(tmp_path: Path) -> None:
    market = panel()
    mine = GivenWeights("mine", written(tmp_path, row(market, 1, "mine", "A", 0.03)))
    before = mine.digest
    written(tmp_path, row(market, 1, "mine", "A", 0.03) + row(market, 3, "mine", "A", 0.01))
    assert mine.digest != before
    assert mine.targets(market)[3:, 0].tolist() == [0.01] * 3


def test_first_session_of_the_panel_is_a_date() -> None:
    assert isinstance(panel().session(0), date)  # the rows above are written by it
