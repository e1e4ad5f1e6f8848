"""What may be traded, and to which sector or asset class each ticker belongs.

The shipped file names about a hundred liquid US large caps, the sector funds, and bond and gold funds. A user's own
file replaces it: csv with a ``ticker`` column and, if known, ``name`` and ``sector``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import UNKNOWN_SECTOR
from trading_platform.market_data.tables import read_rows

DEFAULT_UNIVERSE = Path(__file__).parent / "data" / "universe.csv"
TICKER = re.compile(r"[A-Z][A-Z0-9]*([.-][A-Z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Asset:
    """One tradable ticker; `sector` is a GICS sector or an asset class such as Bonds."""

    ticker: str
    name: str
    sector: str


@dataclass(frozen=True, slots=True)
class Universe:
    """Tradable assets, sorted by ticker."""

    assets: tuple[Asset, ...]

    @property
    def tickers(self) -> tuple[str, ...]:
        """All tickers, sorted."""
        return tuple(asset.ticker for asset in self.assets)

    @property
    def sectors(self) -> dict[str, str]:
        """Ticker -> sector; `UNKNOWN_SECTOR` where the file names none."""
        return {asset.ticker: asset.sector for asset in self.assets}


def load_universe(path: Path | None = None) -> Universe:
    """Read a universe file, the shipped one when `path` is None.

    Raises
    ------
    MarketDataError
        The file cannot be read, has no ``ticker`` column or no rows, or a ticker is malformed or repeated.
    """
    file = DEFAULT_UNIVERSE if path is None else path
    rows = read_rows(file)
    header = [name.strip().lower() for name in next(rows)[1]]
    if "ticker" not in header:
        raise MarketDataError(f"{file.name}: column ticker is missing, the header has {', '.join(header)}")
    assets: dict[str, Asset] = {}
    for line, fields in rows:
        values = dict(zip(header, (text.strip() for text in fields), strict=True))
        ticker = values["ticker"]
        if not TICKER.fullmatch(ticker):
            raise MarketDataError(
                f"{file.name} line {line}: {ticker!r} is not a ticker; write it in capitals, e.g. AAPL or BRK.B"
            )
        if ticker in assets:
            raise MarketDataError(f"{file.name} line {line}: {ticker} appears twice; delete one of the two lines")
        sector = values.get("sector") or UNKNOWN_SECTOR
        assets[ticker] = Asset(ticker, values.get("name") or ticker, sector)
    if not assets:
        raise MarketDataError(f"{file.name} has a header and no tickers; add some or use the shipped universe")
    return Universe(tuple(assets[ticker] for ticker in sorted(assets)))
