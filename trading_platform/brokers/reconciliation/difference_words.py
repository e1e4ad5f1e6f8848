"""What a reading of the account found, in the words of `status`, the report and the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from trading_platform.brokers.reconciliation.differences import CASH_KINDS, Difference, DifferenceKind
from trading_platform.core.ports import DifferenceRow

# What happens every day needs no line of its own.
ROUTINE = frozenset(
    {
        DifferenceKind.FILL,
        DifferenceKind.PARTIAL_FILL,
        DifferenceKind.ORDER_ENDED,
        DifferenceKind.ORDER_NEWS,
        DifferenceKind.HELD_LEG,
        DifferenceKind.CASH_ROUNDING,
    }
)
# With no ticker they are about the account.
OF_ACCOUNT = (DifferenceKind.ACCOUNT_STATE, DifferenceKind.DISBELIEVED)
MOST_UNEXPLAINED = 0.1  # of equity
ACTIONS = {
    DifferenceKind.OVERPROTECTED: "stops placed anew",
    DifferenceKind.EDITED: "followed",
    DifferenceKind.AWAITED_FILL: "waits for the broker's entry",
    DifferenceKind.UNREADABLE: "left alone",
    DifferenceKind.NOT_SENT: "decided again, it goes out under the same id",
}


def reasons_of(found: Sequence[Difference], tickers: Collection[str]) -> dict[str, str]:
    """Return why no new risk may be taken in each of `tickers`."""
    return {
        d.ticker: f"{d.kind}: ours {d.ours}, the broker's {d.theirs}"
        for d in found
        if d.ticker is not None and d.ticker in tickers
    }


def cash_words(found: Sequence[Difference]) -> str | None:
    """Return why no new risk may be taken at all, None if the account may trade and cash ties."""
    for d in found:
        if d.kind is DifferenceKind.ACCOUNT_STATE:
            return f"Alpaca's account: {d.theirs}"
        if d.kind in CASH_KINDS:
            return f"cash: ours {d.ours}, the broker's {d.theirs}"
    return None


def too_much_words(found: Sequence[Difference], values: Mapping[str, float], equity: float) -> str | None:
    """Return why no new risk may be taken at all: positions that are unexplained are too large a part of `equity`.

    `values` are the dollars that our book holds, by ticker. Whoever does not know what he has buys nothing more.
    """
    tickers = {d.ticker for d in found if d.kind in (DifferenceKind.POSITION_UNEXPLAINED, DifferenceKind.DISBELIEVED)}
    dollars = sum(value for ticker, value in values.items() if ticker in tickers)
    if dollars <= MOST_UNEXPLAINED * equity:
        return None
    return f"positions of more than {MOST_UNEXPLAINED:.0%} of equity are unexplained"


def difference_rows(found: Sequence[Difference], quarantine: Collection[str]) -> list[DifferenceRow]:
    """Return the lines to show; those that keep new risk out stand until a reading no longer finds them."""
    return [_row(d, quarantine) for d in found if d.kind not in ROUTINE]


def _row(d: Difference, quarantine: Collection[str]) -> DifferenceRow:
    of_account = d.kind in CASH_KINDS or (d.kind in OF_ACCOUNT and d.ticker is None)
    stands = of_account or (d.ticker in quarantine and d.kind is not DifferenceKind.MANUAL_TRADE)
    if d.kind is DifferenceKind.UNPROTECTED:
        return DifferenceRow(d.kind.value, d.ticker, d.ours, d.theirs, "a stop is asked for", True, is_patient=True)
    action = ACTIONS.get(d.kind, "booked")
    if stands:
        action = "no new risk" if of_account else f"no new risk in {d.ticker}"
    return DifferenceRow(d.kind.value, d.ticker, d.ours, d.theirs, action, stands)
