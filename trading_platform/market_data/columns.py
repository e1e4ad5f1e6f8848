"""What a column holds, from its name: Close/Last, Adj. Close, <VOL>, 4. close, closePrice, Schlusskurs ..."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache


class Role(StrEnum):
    """What a column of a table of bars is."""

    DATE = "date"
    TIME = "time"
    TICKER = "ticker"
    OPEN = "open"
    HIGH = "high"
    LOW = "low"
    CLOSE = "close"
    ADJ_CLOSE = "adj close"
    VOLUME = "volume"
    SPLIT = "split_ratio"
    DIVIDEND = "dividend"


PRICE_ROLES = (Role.OPEN, Role.HIGH, Role.LOW, Role.CLOSE)
FIELDS = (*PRICE_ROLES, Role.VOLUME)
ACTIONS = (Role.SPLIT, Role.DIVIDEND)
REQUIRED = (Role.DATE, Role.TICKER, *FIELDS)
OWN_HEADER = tuple(role.value for role in REQUIRED)  # of the platform's own form, as it is written

# Names by role, the surest first: where a table has two of a role, the one that comes first here is meant.
NAMES: Mapping[Role, list[str]] = {
    Role.DATE: """
        date session tradingday tradedate tradingdate pricedate datetime dateandtime timestamp observationdate
        datadate caldt asofdate day dt beginsat windowstart barstart localdate datum fecha dates timestamputc
        dateutc t time businessdate valuedate quotedate tradeday eoddate index
    """.split(),
    Role.TIME: ["time", "uhrzeit", "clock", "timeofday"],
    Role.TICKER: """
        ticker symbol tic tickersymbol stocksymbol actsymbol sym ticket instrument security stock ric code
        asset name s tickername contract issue symbols tickers stockname companysymbol stockcode kurzel
        simbolo
    """.split(),
    Role.OPEN: """
        open openprice pxopen openprc opening openingprice o op erster eroffnung eroeffnung ouv ouverture
        apertura priceopen firstprice dayopen adjopen adjustedopen openadj
    """.split(),
    Role.HIGH: """
        high highprice pxhigh askhi h hi hoch haut maximo pricehigh dayhigh highest max highestprice maxprice
        adjhigh adjustedhigh highadj
    """.split(),
    Role.LOW: """
        low lowprice pxlow bidlo l lo tief bas minimo pricelow daylow lowest min lowestprice minprice adjlow
        adjustedlow lowadj
    """.split(),
    Role.CLOSE: """
        close closeprice closelast closingprice pxlast closing last c cl schlusskurs schluss clot cloture
        ultimo cierre priceclose lastprice prc price dayclose lasttrade settle settlement
    """.split(),
    Role.ADJ_CLOSE: """
        adjclose adjustedclose closeadj adjcloseprice adjustedcloseprice closeadjusted adjc adjclosingprice
        adjclosed adjustedclosingprice
    """.split(),
    Role.VOLUME: """
        volume vol v sharevolume tradevolume totalvolume pxvolume volumen stuck stuecke volumeshares
        volumetraded tradedvolume sharestraded totaltradedquantity dayvolume tickvol volumes qty quantity
        adjvolume adjustedvolume
    """.split(),
    Role.SPLIT: ["splitratio", "stocksplits", "splitfactor", "splitcoefficient", "stocksplit", "splits", "split"],
    Role.DIVIDEND: """
        dividend dividends divcash exdividend dividendamount cashdividend div dividendcash
    """.split(),
}
_ROLE_OF: dict[str, tuple[Role, int]] = {}
for _role, _names in NAMES.items():
    for _rank, _name in enumerate(_names):
        _ROLE_OF.setdefault(_name, (_role, _rank))

_NUMBERED = re.compile(r"^\d+[a-z]?[.)]\s*")
_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_UMLAUTS = str.maketrans(
    {"ä": "a", "ö": "o", "ü": "u", "é": "e", "è": "e", "ê": "e", "ô": "o", "í": "i", "ú": "u", "á": "a"}
)
_UNITS = ("usd", "eur", "gbp")


@lru_cache(maxsize=10_000)
def key_of(name: str) -> str:
    """Return a column name reduced to its letters and digits: ``Adj. Close``, ``adj_close``, ``AdjClose`` are one."""
    text = _NUMBERED.sub("", name.strip().strip("<>'\"").lower())
    text = _BRACKETS.sub("", text).translate(_UMLAUTS)
    key = "".join(char for char in text if char.isalnum())
    for unit in _UNITS:
        if key.endswith(unit) and len(key) > len(unit):
            key = key[: -len(unit)]
    return key


def role_of(name: str) -> Role | None:
    """Return what a single column name means, None if it is none that we know."""
    found = _ROLE_OF.get(key_of(name))
    return None if found is None else found[0]


def roles_of(header: Sequence[str]) -> dict[Role, int]:
    """Return the column of each role that `header` has.

    ``time`` is the date where nothing else is, and the time of day beside a date. A price column is the close where
    nothing else is.
    """
    best: dict[Role, tuple[int, int]] = {}
    for place, name in enumerate(header):
        found = _ROLE_OF.get(key_of(name))
        if found is None:
            continue
        role, rank = found
        if role not in best or rank < best[role][0]:
            best[role] = rank, place
    roles = {role: place for role, (_, place) in best.items()}
    if (
        Role.CLOSE not in roles
        and Role.ADJ_CLOSE in roles
        and Role.OPEN in roles
        and "adj" in key_of(header[roles[Role.OPEN]])
    ):
        roles[Role.CLOSE] = roles.pop(Role.ADJ_CLOSE)  # adjusted columns alone, which belong together
    clock = next((place for place, name in enumerate(header) if key_of(name) in NAMES[Role.TIME]), None)
    if clock is not None and Role.DATE in roles and roles[Role.DATE] != clock:
        roles[Role.TIME] = clock
    return roles


def repeated(header: Sequence[str], roles: Mapping[Role, int]) -> list[str]:
    """Return the names of columns that are there twice under the same name, of those that are used."""
    keys = [key_of(name) for name in header]
    return sorted({header[place] for place in roles.values() if keys.count(keys[place]) > 1})


def nearest(header: Sequence[str], role: Role) -> str:
    """Return the column whose name looks most like one of `role`, empty if none does."""
    scores: list[tuple[float, str]] = []
    for name in header:
        key = key_of(name)
        if not key or role_of(name) is not None:
            continue
        near = max(difflib.SequenceMatcher(None, key, known).ratio() for known in NAMES[role] if len(known) > 1)
        scores.append((near, name))
    best = max(scores, default=(0.0, ""))
    return best[1] if best[0] >= 0.6 else ""


def is_price(role: Role | None) -> bool:
    """Return True for the columns of a bar's numbers."""
    return role is not None and (role in FIELDS or role is Role.ADJ_CLOSE)
