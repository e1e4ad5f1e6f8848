from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import UNKNOWN_SECTOR
from trading_platform.market_data.synthetic import SECTORS
from trading_platform.market_data.universe import Asset, load_universe

SHARED = Path(__file__).parents[3] / "shared" / "market-data"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_universe_is_about_a_hundred_sorted_tickers_with_sectors() -> None:
    universe = load_universe()

    assert 90 <= len(universe.assets) <= 120
    assert list(universe.tickers) == sorted(set(universe.tickers))
    assert UNKNOWN_SECTOR not in universe.sectors.values()
    assert all(asset.name for asset in universe.assets)


def test_shipped_universe_covers_every_gics_sector_bonds_and_gold() -> None:
    counts = Counter(load_universe().sectors.values())

    assert set(counts) == {*SECTORS, "Bonds", "Gold"}
    # the sector cap must bind on crowding, not on the file: no sector is more than a fifth of it
    assert max(counts.values()) <= len(load_universe().assets) / 5


def test_shipped_universe_leaves_the_benchmark_out() -> None:
    assert "SPY" not in load_universe().tickers


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real history is not beside the repository")
def test_shipped_sectors_agree_with_the_index_providers_list() -> None:
    with (SHARED / "sectors.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["ticker"]: row["gics_sector"] for row in csv.DictReader(file)}
    ours = load_universe().sectors
    shared = sorted(listed.keys() & ours.keys())

    assert len(shared) >= 20
    assert {ticker: ours[ticker] for ticker in shared} == {ticker: listed[ticker] for ticker in shared}


def test_user_file_replaces_the_universe_and_a_missing_sector_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", "Ticker,Sector\nXOM,Energy\nBRK.B,\nAAPL,Information Technology\n")

    universe = load_universe(path)

    assert universe.assets == (
        Asset("AAPL", "AAPL", "Information Technology"),
        Asset("BRK.B", "BRK.B", UNKNOWN_SECTOR),
        Asset("XOM", "XOM", "Energy"),
    )


def test_user_file_may_hold_tickers_only(tmp_path: Path) -> None:
    assert load_universe(write(tmp_path / "mine.csv", "ticker\nXOM\n")).sectors == {"XOM": UNKNOWN_SECTOR}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,sector\nXOM,Energy\n", "mine.csv: column ticker is missing, the header has symbol, sector"),
        ("ticker\nXOM\naapl\n", "mine.csv line 3: 'aapl' is not a ticker; write it in capitals"),
        ("ticker,sector\n,Energy\n", "mine.csv line 2: '' is not a ticker"),
        ("ticker\nXOM\nCVX\nXOM\n", "mine.csv line 4: XOM appears twice"),
        ("ticker\n", "mine.csv has a header and no tickers"),
        ("", "mine.csv is empty"),
        ("ticker,sector\nXOM\n", "mine.csv line 2: 1 fields where the header has 2"),
    ],
)
def test_faulty_user_file_is_refused_and_the_line_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        load_universe(write(tmp_path / "mine.csv", text))


def test_missing_user_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"nowhere\.csv cannot be read"):
        load_universe(tmp_path / "nowhere.csv")
