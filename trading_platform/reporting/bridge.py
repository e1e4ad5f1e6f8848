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

    ``end = start + realized + unrealized_change - fees + dividends + cash_flow + residual``
    """

    start: int
    realized: int
    unrealized_change: int
    fees: int
    dividends: int
    cash_flow: int
    end: int

    @property
    def profit(self) -> int:
        """The day's profit or loss: the change of equity without deposits and withdrawals."""
        return self.end - self.start - self.cash_flow

    @property
    def residual(self) -> int:
        """What the parts leave unexplained; anything but 0 is an error in somebody's books."""
        return self.profit - (self.realized + self.unrealized_change - self.fees + self.dividends)


class Share(NamedTuple):
    """What one strategy or ticker contributed to the day, cents: ``pnl = realized + unrealized - fees + dividends``."""

    name: str
    realized: int
    unrealized: int
    fees: int
    dividends: int

    @property
    def pnl(self) -> int:
        """Contribution to the day's profit or loss."""
        return self.realized + self.unrealized - self.fees + self.dividends


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

    for holding in after:
        post(holding.ticker, holding.strategy, 0, holding.unrealized or 0, 0, holding.dividends)
    for holding in before:
        post(holding.ticker, holding.strategy, 0, -(holding.unrealized or 0), 0, -holding.dividends)
    for fill in fills:
        post(fill.ticker, fill.strategy, fill.realized, 0, fill.fees, 0)
    for trip in closed:
        post(trip.ticker, trip.strategy, 0, 0, 0, trip.dividends)
    return Attribution(_shares(strategies, bridge), _shares(tickers, bridge))


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
    )
    if any(own[1:]):
        shares.append(own)
    return tuple(sorted(shares, key=lambda share: (-share.pnl, share.name)))
