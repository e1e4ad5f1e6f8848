"""Where the day's change of equity came from, in whole cents: the tie-out, and who earned what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from trading_platform.reporting.facts import FillLine, Holding, RoundTrip

# The share of the day that no position or execution explains: account fees, unbooked dividends, interest.
UNATTRIBUTED = "(account)"


class Bridge(NamedTuple):
    """Equity at the previous close to equity now, cents. Exact when `residual` is 0.

    ``end = start + realized + unrealized_change - fees + dividends + interest + cash_flow + residual``
    """

    start: int
    realized: int
    unrealized_change: int
    fees: int
    dividends: int
    cash_flow: int
    end: int
    interest: int = 0

    @property
    def profit(self) -> int:
        """The day's profit or loss: the change of equity without deposits and withdrawals."""
        return self.end - self.start - self.cash_flow

    @property
    def residual(self) -> int:
        """What the parts leave unexplained; anything but 0 is an error in somebody's books."""
        return self.profit - (self.realized + self.unrealized_change - self.fees + self.dividends + self.interest)


class Share(NamedTuple):
    """What one strategy or ticker contributed to the day, cents.

    ``pnl = realized + unrealized - fees + dividends + interest``; interest of cash is the account's alone.
    """

    name: str
    realized: int
    unrealized: int
    fees: int
    dividends: int
    interest: int = 0

    @property
    def pnl(self) -> int:
        """Contribution to the day's profit or loss."""
        return self.realized + self.unrealized - self.fees + self.dividends + self.interest


class Attribution(NamedTuple):
    """The day's profit or loss split twice; each list sums to it exactly."""

    strategies: tuple[Share, ...]
    tickers: tuple[Share, ...]


def attribute(
    bridge: Bridge,
    before: Iterable[Holding],
    after: Iterable[Holding],
    fills: Iterable[FillLine],
    closed: Iterable[RoundTrip],
) -> Attribution:
    """Split the day's profit over strategies and tickers, largest contribution first.

    Parameters
    ----------
    before, after
        Positions at the previous close and now.
    fills, closed
        The day's executions and finished round trips.

    Notes
    -----
    Dividends of a ticker are what its position and its closed round trips received since entry, less what they had
    received by the previous close. What remains of the bridge is the account's own share.
    """
    strategies: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    tickers: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])

    def post(ticker: str, strategy: str | None, realized: int, unrealized: int, fees: int, dividends: int) -> None:
        for cell in (tickers[ticker], strategies[strategy or UNATTRIBUTED]):
            for i, amount in enumerate((realized, unrealized, fees, dividends)):
                cell[i] += amount

    for sign, holdings in ((1, after), (-1, before)):
        for holding in holdings:
            for strategy, unrealized, dividends in owners_shares(holding):
                post(holding.ticker, strategy, 0, sign * unrealized, 0, sign * dividends)
    for fill in fills:
        post(fill.ticker, fill.strategy, fill.realized, 0, fill.fees, 0)
    for trip in closed:
        post(trip.ticker, trip.strategy, 0, 0, 0, trip.dividends)
    return Attribution(_shares(strategies, bridge), _shares(tickers, bridge))


def owners_shares(holding: Holding) -> list[tuple[str | None, int, int]]:
    """Return each owner's unrealized profit and dividends, cents; they add up to the position's.

    What the lots leave of it (prices have moved since they were stored) is divided by shares.
    """
    unrealized = holding.unrealized or 0
    if not holding.parts:
        return [(holding.strategy, unrealized, holding.dividends)]
    shares = sum(part.quantity for part in holding.parts)
    moved = unrealized - sum(part.value - part.cost for part in holding.parts)
    received = holding.dividends - sum(part.dividends for part in holding.parts)
    found: list[tuple[str | None, int, int]] = []
    done, gained, paid = 0.0, 0, 0
    for part in holding.parts:
        done += part.quantity / shares
        gain, cash = round(moved * done) - gained, round(received * done) - paid
        gained, paid = gained + gain, paid + cash
        found.append((part.strategy, part.value - part.cost + gain, part.dividends + cash))
    return found


def day_profits(before: Iterable[Holding], after: Iterable[Holding], fills: Iterable[FillLine]) -> Mapping[str, int]:
    """Return each held ticker's price profit of the day in cents, dividends aside: marks, realized profit, fees."""
    profit: dict[str, int] = defaultdict(int)
    for holding in after:
        profit[holding.ticker] += holding.unrealized or 0
    for holding in before:
        profit[holding.ticker] -= holding.unrealized or 0
    for fill in fills:
        profit[fill.ticker] += fill.realized - fill.fees
    return profit


def _shares(cells: Mapping[str, list[int]], bridge: Bridge) -> tuple[Share, ...]:
    shares = [Share(name, *cell) for name, cell in cells.items() if any(cell) and name != UNATTRIBUTED]
    own = Share(
        UNATTRIBUTED,
        bridge.realized - sum(s.realized for s in shares),
        bridge.unrealized_change + bridge.residual - sum(s.unrealized for s in shares),
        bridge.fees - sum(s.fees for s in shares),
        bridge.dividends - sum(s.dividends for s in shares),
        bridge.interest,
    )
    if any(own[1:]):
        shares.append(own)
    return tuple(sorted(shares, key=lambda share: (-share.pnl, share.name)))
