"""Which exchange bars are of: its sessions, its currency, its benchmark. New York's in dollars unless settings say.

The facts travel in the source of a panel, ``files:london?calendar=XLON&currency=GBP&benchmark=ISF``, which is stored
with every run: so whatever shows a run knows whose money it counts. What is New York's stands as it always did.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

NEW_YORK, DOLLAR, FUND = "XNYS", "USD", "SPY"

# ISO 4217 by market identifier code (ISO 10383), as exchange_calendars names its calendars
CURRENCIES = {
    "XNYS": "USD",
    "XNAS": "USD",
    "XLON": "GBP",
    "XETR": "EUR",
    "XFRA": "EUR",
    "XDUS": "EUR",
    "XHAM": "EUR",
    "XSTU": "EUR",
    "XPAR": "EUR",
    "XAMS": "EUR",
    "XBRU": "EUR",
    "XLIS": "EUR",
    "XMAD": "EUR",
    "XMIL": "EUR",
    "XDUB": "EUR",
    "XHEL": "EUR",
    "XWBO": "EUR",
    "ASEX": "EUR",
    "XSWX": "CHF",
    "XSTO": "SEK",
    "XOSL": "NOK",
    "XCSE": "DKK",
    "XTSE": "CAD",
    "XTKS": "JPY",
    "XHKG": "HKD",
    "XASX": "AUD",
    "XNZE": "NZD",
    "XSES": "SGD",
    "XBOM": "INR",
    "XKRX": "KRW",
    "XTAI": "TWD",
    "XSHG": "CNY",
    "BVMF": "BRL",
    "XMEX": "MXN",
    "XJSE": "ZAR",
    "XWAR": "PLN",
    "XPRA": "CZK",
    "XBUD": "HUF",
    "XIST": "TRY",
    "XTAE": "ILS",
}
SIGNS = {"USD": "$", "GBP": "£", "EUR": "€", "JPY": "¥"}
_MARK = re.compile(r"\?(calendar=[A-Z0-9]+&currency=[A-Z]{3}&benchmark=\S+)$")


class Exchange(NamedTuple):
    """Where bars are traded, what money they are in, and the ticker that stands for the whole market."""

    calendar: str = NEW_YORK
    currency: str = DOLLAR
    benchmark: str = FUND

    @property
    def sign(self) -> str:
        """What stands before an amount: ``$``, ``£``, or the currency's three letters and a blank."""
        return SIGNS.get(self.currency, f"{self.currency} ")

    def marked(self, source: str) -> str:
        """Return the name of a source with these facts in it; New York's is left as it is."""
        return source if self == Exchange() else f"{source}?{urlencode(self._asdict())}"


def exchange_of_source(source: str) -> Exchange:
    """Return the facts that the source of a panel or a run carries."""
    found = _MARK.search(source)
    return Exchange() if found is None else Exchange(**dict(parse_qsl(found[1])))


def without_exchange(source: str) -> str:
    """Return the source without them."""
    return _MARK.sub("", source)
