"""How tickers are spelt, and which one a file's name means.

The platform's own spelling is Alpaca's: capitals, share classes with a point (BRK.B).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

VIX_NAMES = frozenset(("VIX", "VIXCLS", "CBOEVIX", "VIXINDX", "VIXINDEX", "IVIX"))
NOISE = frozenset(
    """
    historical history hist data daily day d d1 1d price prices stock stocks ohlc ohlcv bars bar table adjusted
    adj yahoo yf yfinance stooq alpaca polygon tiingo eod max nasdaq nyse amex bats arca us usa csv download
    quotes quote full export from to raw split series ts equity equities etf etfs market
""".split()
)
WORDS = frozenset(
    """
    data bars bar prices price daily history hist ohlc ohlcv stocks stock table market quotes export download
    tickers raw all panel us_daily series input output
""".split()
)
_PLAIN = re.compile(r"[A-Z][A-Z0-9]{0,5}(?:[.\-/][A-Z0-9]{1,3})?")
_CLASS = re.compile(r"([A-Z]{1,5})[-/ _]([A-Z])")
_DATE_LIKE = re.compile(r"[\d.\-]+")
_BLANKS = re.compile(r"\s+")


def canonical(ticker: str) -> str:
    """Return the platform's spelling: ``brk-b``, ``BRK/B`` and ``BRK B`` are ``BRK.B``."""
    text = _BLANKS.sub(" ", ticker.strip().strip("'\"").upper())
    match = _CLASS.fullmatch(text)
    return f"{match[1]}.{match[2]}" if match else text


def without_market(tickers: Sequence[str]) -> list[str]:
    """Return `tickers` without the suffix of their market, if all have the same: AAPL.US, BRK-B.US; NASDAQ:AAPL."""
    suffixes = {name.rpartition(".")[2].upper() for name in tickers if "." in name}
    if len(suffixes) == 1 and suffixes <= {"US"} and all("." in name or name.startswith("^") for name in tickers):
        return [name.rpartition(".")[0] if "." in name else name for name in tickers]
    if tickers and all(":" in name for name in tickers):
        return [name.rpartition(":")[2] for name in tickers]
    return list(tickers)


def is_ticker(text: str) -> bool:
    """Return True if `text` is spelt as a US ticker."""
    return _PLAIN.fullmatch(canonical(text)) is not None


def is_vix(ticker: str) -> bool:
    """Return True for the names under which VIX is kept: ^VIX, $VIX, .VIX, I:VIX, VIX.INDX, CBOE:VIX, VIX Index."""
    letters = re.sub(r"[^A-Z0-9]", "", ticker.rpartition(":")[2].upper())
    return letters in VIX_NAMES or (ticker.startswith("$") and letters == "VIXX")  # $VIX.X is Schwab's and Tradier's


def is_index(ticker: str) -> bool:
    """Return True for what cannot be traded: names that begin as indices do, and VIX."""
    return ticker.startswith(("^", "$", ".", "I:")) or is_vix(ticker)


def ticker_of_name(stem: str, parent: str = "") -> str:
    """Return the ticker that a file's name means (AAPL, aapl.us, AAPL Historical Data, daily_AAPL), "" for none.

    `parent` is the name of its folder, which counts where the file is only named by year or kind.
    """
    text = stem.strip()
    if text.startswith("^") and not re.search(r"[_ ]", text):
        return text.upper()
    if text.lower().endswith(".us"):
        text = text[:-3]
    if is_ticker(text) and not _is_word(text):
        return canonical(text)
    tokens = [token for token in re.split(r"[\s_,()+&]+|(?<=[a-zA-Z])-(?=\d)|(?<=\d)-(?=[a-zA-Z])", text) if token]
    left = [token for token in tokens if token.lower() not in NOISE and not _DATE_LIKE.fullmatch(token)]
    left = [token for token in left if token.lower() != "us" and len(token) <= 8]
    if len(left) == 1 and (is_ticker(left[0]) or left[0].startswith("^")) and not _is_word(left[0]):
        return canonical(left[0])
    if not left and parent and is_ticker(parent) and parent.lower() not in NOISE and not _DATE_LIKE.fullmatch(parent):
        return canonical(parent)
    return ""


def _is_word(text: str) -> bool:
    """Return True for a whole name that tells of files and not of a company. LOW, OPEN, D and DAY are tickers."""
    return text.lower() in WORDS
