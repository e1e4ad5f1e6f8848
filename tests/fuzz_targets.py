"""Readers of files and settings that people write, fed with damaged ones: an error of this program's own, or a value.

Anything else, a traceback or a hang, is a fault. `tests/property/test_fuzzed_readers.py` damages with Hypothesis, in
seconds; ``make fuzz`` runs `tests/fuzz_run.py`, which lets atheris look for inputs that reach new code, for as long as
wanted.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import load_config
from trading_platform.core.errors import TradingPlatformError
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.weights import read_weights

CALENDAR = NyseCalendar()
DAYS = [f"2023-01-{day:02d}" for day in (3, 4, 5, 6, 9, 10)]
VIX = "date,close\n" + "".join(f"{day},2{n}.5\n" for n, day in enumerate(DAYS))
BARS = "date,ticker,open,high,low,close,volume\n" + "".join(
    f"{day},{name},{10 + n},{11 + n},{9 + n},{10.5 + n},1000\n" for name in ("AAA", "SPY") for n, day in enumerate(DAYS)
)
YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume\n" + "".join(
    f'"Jan {day[-2:]}, 2023","1,010.5",1012,1001.25,1011,{900 + n},"1,000"\n' for n, day in enumerate(DAYS)
)
ZONED = BARS.replace(",AAA", " 00:00:00-05:00,AAA").replace(",SPY", " 00:00:00-05:00,SPY").replace(",", "\t")
DECIMAL = BARS.replace(",", ";").replace(".5", ",5")
SIDE = {
    "events.csv": "date,ticker,kind,new_ticker,ratio,cash\n2023-01-05,AAA,rename,AAAX,,\n"
    "2023-01-06,SPY,special_dividend,,,0.5\n2023-01-09,AAA,stock_merger,SPY,0.9,1.25\n",
    "universe.csv": "ticker,from,to\nAAA,2023-01-04,\nSPY,,2023-01-09\n",
    "sectors.csv": "ticker,sector\nAAA,Energy\n",
    "assets.csv": "ticker,asset_class\nAAA,gold\n",
    "cash_rate.csv": "date,rate\n2023-01-03,4.2\n2023-01-06,4.3\n",
    "weights.csv": "date,strategy,ticker,weight\n2023-01-03,mine,AAA,0.5\n2023-01-06,mine,SPY,0.1\n",
    "vix.csv": VIX,
}
SETTINGS = """[data]
source = "files"
folder = ["bars"]
vix = "realized"
[engine]
initial_capital = 100000.0
replay_sessions = 20
fills = "exact"
[strategies]
enabled = ["momentum"]
[strategies.momentum]
lookback = 60
[risk]
max_position_pct = 10.0
[costs]
slippage_bps = 2.5
"""
ENVIRONMENT = """# keys
export ALPACA_API_KEY='PK1234'
ALPACA_SECRET_KEY="abc # def"
DATABASE_URL=sqlite:///trading.db
TRADING_CACHE_DIR=~/.cache/x
TELEGRAM_CHAT_ID=-100123
"""


# what stands in files where something else was meant
WORDS = """
    , ; ' " # [ ] = { } \\ $ % - + . : 0 -1 1e999 nan inf 1_000 1e-320 0x10 true null 99999999999999999999 ~nobody/x
    2023-02-30 0000-00-00 9999-12-31 01/13/2023 13/01/2023 20230103 1672704000 24:00:00 +25:00 Z EST
    date ticker close Adj_Close split_ratio dividend SPY AAA ^VIX merger é \ufeff \u202e \u2212 ٣ ½
""".split()
BYTES = (
    b"",
    b"\t",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\x80",
    b"PK\x03\x04",
    b"PAR1",
    b"Adj Close",
)
TOKENS = (*(word.encode() for word in WORDS), *BYTES)


def now() -> datetime:
    """Return a clock's time after every bar."""
    return datetime(2024, 1, 2, tzinfo=UTC)


@cache
def packed(kind: str) -> bytes:
    """Return the bars as a file of `kind`: .zip, .csv.gz, .parquet or .feather."""
    place = io.BytesIO()
    match kind:
        case ".zip":
            with zipfile.ZipFile(place, "w") as archive:
                archive.writestr("bars.csv", BARS)
        case ".csv.gz":
            return gzip.compress(BARS.encode(), mtime=0)
        case _:
            frame = pd.read_csv(io.StringIO(BARS))
            frame.to_parquet(place) if kind == ".parquet" else frame.to_feather(place)
    return place.getvalue()


def _folder(content: bytes, folder: Path, name: str) -> None:
    """Read a folder of bars in which the file `name` holds `content`."""
    files = {"bars.csv": BARS.encode(), "vix.csv": VIX.encode()}
    if name.startswith("only"):
        del files["bars.csv"]
    for each, text in {**files, name: content}.items():
        (folder / each).write_bytes(text)
    panel = FilesMarketData(folder, calendar=CALENDAR, now=now).history()
    assert np.isfinite(panel.close).any(), "a panel without a price"
    assert (panel.close[np.isfinite(panel.close)] > 0.0).all(), "a price that is not above 0"


def _weights(content: bytes, folder: Path, name: str) -> None:
    (folder / name).write_bytes(content)
    read_weights(folder / name)


def _settings(content: bytes, folder: Path, name: str) -> None:
    (folder / name).write_bytes(content)
    config = load_config(folder / name)
    RiskConfig.from_mapping(config.risk)


def _environment(content: bytes, folder: Path, name: str) -> None:
    (folder / name).write_bytes(content)
    load_settings({}, folder / name)


Reader = Callable[[bytes, Path, str], None]
# file name -> what reads it, and whole files of its kind to begin from
TARGETS: dict[str, tuple[Reader, tuple[bytes, ...]]] = {
    "more.csv": (_folder, tuple(text.encode() for text in (BARS.replace("SPY", "BBB"), DECIMAL, ZONED))),
    "only.csv": (_folder, (BARS.encode(), BARS.encode("utf-16"), DECIMAL.encode("cp1252"), ZONED.encode("utf-8-sig"))),
    "BBB.csv": (_folder, (YAHOO.encode(), YAHOO.replace("1,0", "10").encode())),
    "only.zip": (_folder, (packed(".zip"),)),
    "only.csv.gz": (_folder, (packed(".csv.gz"),)),
    "only.parquet": (_folder, (packed(".parquet"),)),
    "only.feather": (_folder, (packed(".feather"),)),
    **{name: (_folder, (text.encode(),)) for name, text in SIDE.items() if name != "weights.csv"},
    "weights.csv": (_weights, (SIDE["weights.csv"].encode(),)),
    "trading.toml": (_settings, (SETTINGS.encode(), SETTINGS.encode("utf-16"))),
    ".env": (_environment, (ENVIRONMENT.encode(), ENVIRONMENT.encode("utf-16"))),
}


def feed(name: str, content: bytes, folder: Path) -> str:
    """Let the file `name` in `folder` hold `content`, read it, and return the error's text; "" where it could be read.

    Raises
    ------
    Exception
        What is a fault: anything that is not an error of this program's own, which names the cure.
    """
    reader, _ = TARGETS[name]
    try:
        reader(content, folder, name)
    except TradingPlatformError as error:
        return str(error) or type(error).__name__
    return ""
