"""Draws of realistic fills: repeatable, unbiased, the same for whoever asks; and each check of them can fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.kernel_world import clock_of, random_panel
from trading_platform.alpaca_server.behaviour import REALISTIC as REALISTIC_SERVER
from trading_platform.alpaca_server.draws import Draw
from trading_platform.alpaca_server.market import SimulatedMarket
from trading_platform.core.draws import drawing_states, uniform, uniforms
from trading_platform.core.market import build_market
from trading_platform.core.realistic_fills import (
    ALPACA,
    AUCTION,
    BUY_PART,
    EXACT,
    REALISTIC,
    SELL_PART,
    STOP_SLIP,
    WHOLE,
    FillHabits,
    draw_fills,
    with_fills,
)
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData

PANEL = random_panel(1, n_sessions=1500, n_tickers=40)
SEED = 7
GOLDEN = (0.9527177229551951, 0.9967207384652078)  # from the local server, before the draws moved to the core
CALENDAR = NyseCalendar()


def away(panel: MarketPanel, draws: Floats) -> Floats:
    """Return how far the auctions lie from the opens, as fractions, of all bars."""
    distance: Floats = (draws[:, :, AUCTION] / panel.open.T - 1.0).ravel()
    return distance


def assert_unbiased(distance: Floats) -> None:
    """Check that distances are as often up as down, and that they cancel out: within four standard errors."""
    n = len(distance)
    assert abs(float((distance > 0.0).mean()) - 0.5) < 4.0 * 0.5 / n**0.5
    assert abs(float(distance.mean())) < 4.0 * float(distance.std()) / n**0.5


def assert_one_in_ten_is_partial(parts: Floats) -> None:
    """Check the share of partial fills and that their sizes are spread evenly: within four standard errors."""
    n = parts.size
    partial = parts[parts < WHOLE]
    assert abs(len(partial) / n - 0.1) < 4.0 * (0.1 * 0.9 / n) ** 0.5
    assert abs(float(partial.mean()) - 0.5) < 4.0 * (1.0 / 12.0 / len(partial)) ** 0.5
    assert parts.min() >= 0.0


def test_auctions_lie_beside_the_open_by_a_tenth_to_three_tenths_of_a_percent_and_are_unbiased() -> None:
    distance = away(PANEL, draw_fills(PANEL, SEED))
    half_a_cent = 0.005 / PANEL.open.min()
    assert 0.001 - half_a_cent <= np.abs(distance).min()
    assert np.abs(distance).max() <= 0.003 + half_a_cent
    assert_unbiased(distance)


def test_auctions_are_prices_that_an_exchange_takes() -> None:
    cheap = replace(PANEL, open=PANEL.open / 100.0)
    for panel, ticks in ((PANEL, 100.0), (cheap.columns([int(cheap.open[0].argmin())]), 10_000.0)):
        prices = draw_fills(panel, SEED)[:, :, AUCTION][:, :100] * ticks
        assert np.abs(prices - np.rint(prices)).max() < 1e-6


def test_one_order_in_ten_is_partial_of_an_even_size_and_sales_apart_from_buys() -> None:
    draws = draw_fills(PANEL, SEED)
    assert_one_in_ten_is_partial(draws[:, :, BUY_PART])
    assert_one_in_ten_is_partial(draws[:, :, SELL_PART])
    both = ((draws[:, :, BUY_PART] < WHOLE) & (draws[:, :, SELL_PART] < WHOLE)).mean()
    assert abs(both - 0.01) < 4.0 * (0.01 / PANEL.open.size) ** 0.5


def test_stops_slip_by_up_to_a_tenth_of_a_percent() -> None:
    slips = draw_fills(PANEL, SEED)[:, :, STOP_SLIP]
    assert slips.min() >= 0.0
    assert slips.max() < 0.001
    assert abs(float(slips.mean()) - 0.0005) < 1e-5


def test_checks_of_the_draws_can_fail() -> None:
    distance = away(PANEL, draw_fills(PANEL, SEED))
    with pytest.raises(AssertionError):
        assert_unbiased(distance + 0.0001)  # a basis point to one side
    with pytest.raises(AssertionError):
        assert_unbiased(np.where(distance > 0.0, distance, distance * 1.05))
    often = draw_fills(PANEL, SEED, FillHabits(0.001, 0.003, 0.11, 0.001))
    with pytest.raises(AssertionError):
        assert_one_in_ten_is_partial(often[:, :, BUY_PART])


def test_draws_depend_on_seed_session_and_security_and_on_nothing_else() -> None:
    draws = draw_fills(PANEL, SEED)
    part = PANEL.rows(200, 300).columns([3, 17])
    assert draw_fills(part, SEED).tobytes() == draws[[3, 17], 200:300].tobytes()
    for other in (draw_fills(PANEL, SEED + 1), draw_fills(replace(PANEL, sessions=PANEL.sessions + 7), SEED)):
        assert (draws[:, :, BUY_PART] != other[:, :, BUY_PART]).mean() > 0.15
    assert (draws[0, :, STOP_SLIP] == draws[1, :, STOP_SLIP]).sum() == 0


def test_draws_of_a_renamed_security_go_on_under_its_first_name() -> None:
    draws = draw_fills(PANEL, SEED)
    renamed = replace(PANEL, tickers=("NEW", *PANEL.tickers[1:]), securities=PANEL.tickers)
    assert draw_fills(renamed, SEED).tobytes() == draws.tobytes()
    assert draw_fills(renamed.columns([0]), SEED).tobytes() == draws[:1].tobytes()
    forgotten = replace(renamed, securities=())
    assert (draw_fills(forgotten, SEED)[0, :, STOP_SLIP] == draws[0, :, STOP_SLIP]).sum() == 0


def test_files_that_tell_of_renames_keep_the_first_name(tmp_path: Path) -> None:
    days = ["2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07"]
    lines = ["date,ticker,open,high,low,close,volume"]
    for day, ticker in zip(days, ("AAA", "AAA", "BBB", "BBB", "CCC"), strict=True):
        lines += [f"{day},{ticker},10,11,9,10,1000", f"{day},QQQQ,20,21,19,20,1000"]
    (tmp_path / "bars.csv").write_text("\n".join(lines))
    (tmp_path / "events.csv").write_text(
        "date,ticker,kind,new_ticker\n2024-06-05,AAA,rename,BBB\n2024-06-07,BBB,rename,CCC\n"
    )
    plain, cached = FilesMarketData(tmp_path), FilesMarketData(tmp_path, cache_dir=tmp_path / "cache")
    for panel in (plain.history(), cached.history(), cached.history()):  # the last from the cache
        assert (panel.tickers, panel.security_ids) == (("CCC", "QQQQ"), ("AAA", "QQQQ"))
    (tmp_path / "events.csv").unlink()
    assert FilesMarketData(tmp_path).history().securities == ()


def test_scalar_and_array_draws_are_the_same_numbers() -> None:
    days = np.array([date(2024, 1, 2), date(2031, 7, 9)], dtype="datetime64[D]").astype(np.int64)
    names = ["AAA", "BRK.B/sell", ""]
    for seed in (0, 7, 4_294_967_295):
        states = drawing_states(seed, days, names)
        for what in (Draw.AUCTION, Draw.PARTIAL, Draw.STOP):
            alone = [[uniform(seed, day, name, what) for day in (date(2024, 1, 2), date(2031, 7, 9))] for name in names]
            assert uniforms(states, what).tolist() == alone


def test_draws_are_those_of_earlier_versions() -> None:
    """Written down once: a run with a seed must be the same run with the next version."""
    assert uniform(7, date(2024, 1, 2), "AAA", Draw.AUCTION) == GOLDEN[0]
    assert uniform(7, date(2024, 1, 2), "AAA/buy", Draw.PARTIAL, 3) == GOLDEN[1]


def test_the_local_server_meets_the_same_auctions_partials_and_slips() -> None:
    sessions = CALENDAR.sessions_between(date(2024, 1, 2), date(2024, 6, 1))[:60]
    panel = replace(random_panel(2, n_sessions=60, n_tickers=5), sessions=sessions)
    panel = replace(panel, securities=("OLD", *panel.tickers[1:]))  # the first was renamed
    server = SimulatedMarket(panel, CALENDAR, seed=SEED, behaviour=REALISTIC_SERVER)
    draws = draw_fills(panel, SEED)
    for row, day in enumerate(server.sessions):
        for column, ticker in enumerate(panel.tickers):
            key = SEED, day, f"{server.security(ticker)}/sell"
            assert server.auction(row, ticker) == draws[column, row, AUCTION]
            assert ALPACA.stop_slippage * uniform(*key, Draw.STOP) == draws[column, row, STOP_SLIP]
            is_partial = uniform(*key, Draw.PARTIAL) < REALISTIC_SERVER.partial_fills
            part = uniform(*key, Draw.PARTIAL_SIZE) if is_partial else WHOLE
            assert part == draws[column, row, SELL_PART]


def test_exact_market_has_no_draws_and_an_unknown_book_is_refused() -> None:
    panel = random_panel(1, n_sessions=60)
    market = build_market(panel, clock_of(panel), 30)
    assert market.draws.size == 0
    realistic = with_fills(market, panel, REALISTIC, SEED)
    assert realistic.draws.shape == (panel.n_tickers, 60, 4)
    assert with_fills(realistic, panel, EXACT, SEED).draws.size == 0
    with pytest.raises(ValueError, match="'exact' or 'realistic', was 'sloppy'"):
        with_fills(market, panel, "sloppy", SEED)
