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
# Nobody understands them, or they are none of our business: one line until they are gone.
LEFT_ALONE = (DifferenceKind.UNREADABLE, DifferenceKind.OWNERS_THINGS)
MOST_NAMED = 3
MOST_UNEXPLAINED = 0.1  # of equity
ACTIONS = {
    DifferenceKind.OVERPROTECTED: "stops placed anew",
    DifferenceKind.EDITED: "followed",
    DifferenceKind.AWAITED_FILL: "waits for the broker's entry",
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
    """Return the lines to show; those that keep new risk out, or that are left alone, stand until a reading no longer
    finds them.
    """
    return [_row(d, quarantine) for d in _folded(found) if d.kind not in ROUTINE]


def _folded(found: Sequence[Difference]) -> list[Difference]:
    """Return differences with all that is left alone of one ticker, or of none, in one."""
    folded: dict[tuple[DifferenceKind, str | None], list[str]] = {}
    kept = []
    for d in found:
        if d.kind not in LEFT_ALONE:
            kept.append(d)
        else:
            folded.setdefault((d.kind, d.ticker), []).append(d.theirs)
    return kept + [Difference(*key, "left alone", _listed(words)) for key, words in folded.items()]


def _listed(words: Sequence[str]) -> str:
    rest = len(words) - MOST_NAMED
    return "; ".join([*words[:MOST_NAMED], *([f"and {rest} more"] if rest > 0 else [])])


def _row(d: Difference, quarantine: Collection[str]) -> DifferenceRow:
    of_account = d.kind in CASH_KINDS or (d.kind in OF_ACCOUNT and d.ticker is None)
    if d.kind in LEFT_ALONE:
        here = f", no new risk in {d.ticker}" if d.ticker in quarantine else ""
        return DifferenceRow(d.kind.value, d.ticker, d.ours, d.theirs, f"nothing of it is booked{here}", stands=True)
    stands = of_account or (d.ticker in quarantine and d.kind is not DifferenceKind.MANUAL_TRADE)
    if d.kind is DifferenceKind.UNPROTECTED:
        return DifferenceRow(d.kind.value, d.ticker, d.ours, d.theirs, "a stop is asked for", True, is_patient=True)
    action = ACTIONS.get(d.kind, "booked")
    if stands:
        action = "no new risk" if of_account else f"no new risk in {d.ticker}"
    return DifferenceRow(d.kind.value, d.ticker, d.ours, d.theirs, action, stands)
