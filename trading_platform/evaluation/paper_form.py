"""What strategies earn on paper: their target weights held as they are, without slots, caps, stops or halts.

The machine can only lose against it, and how much is what its rules cost. Weights are decided at a close and traded at
the next open, at a cost in basis points of what is traded; cash earns the bill rate over calendar days. Strategies are
netted ticker by ticker first, as in an account, so that opposite wishes cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.day_count import DAYS_A_YEAR
from trading_platform.core.indicators import lag
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Bools, Floats, MarketPanel

# A position is traded when it is off by more than this part of what is wanted: prices alone should not trade it.
NO_TRADE_BAND = 0.2
# Sessions without a bar after which a ticker has ended, and what is left of it is settled at its last price.
ENDED_AFTER = 5
RETURN, EXPOSURE, TURNOVER, COST = range(4)


class PaperPath(NamedTuple):
    """A book on paper, session by session; fractions of the equity at the close before.

    Attributes
    ----------
    returns : (T,) daily returns after costs, interest included; 0 before the first session that trades.
    exposure : (T,) invested at the close. turnover : (T,) bought plus sold. costs : (T,) paid for it.
    """

    returns: Floats
    exposure: Floats
    turnover: Floats
    costs: Floats


class PaperForm(NamedTuple):
    """The netted book of all strategies, and each one's own with its targets at their full weight."""

    book: PaperPath
    strategies: tuple[PaperPath, ...]


def paper_form(
    panel: MarketPanel,
    targets: Sequence[Floats],
    allocation: Floats,
    cost_bps: float,
    start: int = 1,
    band: float = NO_TRADE_BAND,
) -> PaperForm:
    """Return the paper form of K strategies' `targets`, each (T, N), at `allocation`, (K,) or (T, K); see `paper_book`.

    Each strategy's own book holds its targets with all of its capital, as an account of its own would.
    """
    books = tuple(paper_book(panel, weights, cost_bps, start, band) for weights in targets)
    return PaperForm(paper_book(panel, combined_targets(targets, allocation), cost_bps, start, band), books)


def combined_targets(targets: Sequence[Floats], allocation: Floats) -> Floats:
    """Return the netted weights, (T, N), of K strategies' `targets` at `allocation`, (K,) or (T, K)."""
    shares = np.broadcast_to(np.asarray(allocation, dtype=np.float64), (len(targets[0]), len(targets)))
    total = np.zeros_like(targets[0])
    for k, weights in enumerate(targets):
        total += weights * shares[:, k : k + 1]
    return total


def equal_allocation(stands_aside: Sequence[str]) -> Floats:
    """Return equal shares, (K,), of the strategies that work here; `stands_aside` says why one does not, "" = works."""
    works = np.array([reason == "" for reason in stands_aside], dtype=np.float64)
    shares: Floats = works / max(1.0, float(works.sum()))
    return shares


def paper_book(
    panel: MarketPanel, weights: Floats, cost_bps: float, start: int = 1, band: float = NO_TRADE_BAND
) -> PaperPath:
    """Return what `weights` (T, N), decided at each close, earn from the next open on.

    Parameters
    ----------
    panel
        Bars. Splits are folded in; a dividend is a return of its ex-date. A ticker without a bar keeps its last price
        and is not traded; one that has ended is settled at it, without cost, once it is no longer wanted.
    weights
        Fractions of equity at the close, >= 0; rows sum to at most 1.
    cost_bps
        One way, basis points of what is traded.
    start
        First session that trades, on what was decided the close before; >= 1.
    band
        Part of the wanted weight by which a position may be off before it is traded. What is not wanted is sold.
    """
    overnight, daytime, traded = _price_returns(panel)
    figures = _hold(
        np.ascontiguousarray(weights),
        overnight,
        daytime,
        traded,
        nightly_interest(panel),
        cost_bps * BASIS_POINT,
        max(1, start),
        band,
    )
    return PaperPath(*(np.ascontiguousarray(figures[:, column]) for column in (RETURN, EXPOSURE, TURNOVER, COST)))


def nightly_interest(panel: MarketPanel) -> Floats:
    """Return what a dollar of cash earns from the close before to each session, (T,); 0 where no rate is known.

    Calendar days / 365 at the rate last known at the close before, percent a year.
    """
    interest = np.zeros(panel.n_sessions)
    if panel.cash_rate is None or panel.n_sessions < 2:
        return interest
    days = np.diff(panel.sessions.astype("datetime64[D]").astype(np.int64))
    interest[1:] = np.nan_to_num(_kept(panel.cash_rate)[:-1]) / 100.0 * days / DAYS_A_YEAR
    return interest


def total_returns(panel: MarketPanel) -> Floats:
    """Return close-to-close returns with dividends, (T, N); 0 without a bar, NaN before a ticker's first."""
    overnight, daytime, _ = _price_returns(panel)
    known = np.isfinite(lag(_kept(panel.close), 1))
    return np.where(known, (1.0 + overnight) * (1.0 + daytime) - 1.0, np.nan)


def _price_returns(panel: MarketPanel) -> tuple[Floats, Floats, Bools]:
    """Return (last close to open, open to close, whether there is a bar), each (T, N); returns are 0 where unknown."""
    adjusted = forward_adjusted(replace(panel, dividend=None))  # dividends are paid below, and not reinvested before
    before = lag(_kept(adjusted.close), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        overnight, daytime = adjusted.open / before - 1.0, adjusted.close / adjusted.open - 1.0
        if panel.dividend is not None:
            paid = np.nan_to_num(panel.dividend) * adjusted.close / panel.close  # a share of the first session's
            overnight = overnight + paid / before
    return np.nan_to_num(overnight), np.nan_to_num(daytime), np.isfinite(adjusted.open) & np.isfinite(adjusted.close)


def _kept(values: Floats) -> Floats:
    """Return the last known value of each column at each row; NaN before the first."""
    rows = np.arange(len(values)).reshape(-1, *(1,) * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isfinite(values), rows, 0), axis=0)
    return np.take_along_axis(values, last, axis=0)


@compiled
def _hold(
    weights: Floats,
    overnight: Floats,
    daytime: Floats,
    traded: Bools,
    interest: Floats,
    cost: float,
    start: int,
    band: float,
) -> Floats:
    """Walk the sessions; return (T, 4) figures in the order of `PaperPath`."""
    n_sessions, n_tickers = weights.shape
    figures = np.zeros((n_sessions, 4))
    held = np.zeros(n_tickers)
    missing = np.zeros(n_tickers)
    cash, equity = 1.0, 1.0
    for t in range(start, n_sessions):
        before, paid, moved = equity, 0.0, 0.0
        cash += max(cash, 0.0) * interest[t]
        equity = 0.0
        for i in range(n_tickers):
            held[i] *= 1.0 + overnight[t, i]
            missing[i] = 0.0 if traded[t, i] else missing[i] + 1.0
            wanted = weights[t - 1, i] * before * (1.0 + overnight[t, i])  # as many shares as were decided
            if traded[t, i] and (wanted == 0.0 or held[i] == 0.0 or abs(wanted - held[i]) > band * wanted):
                moved += abs(wanted - held[i])
                paid += cost * abs(wanted - held[i])
                cash -= wanted - held[i]
                held[i] = wanted
            if wanted == 0.0 and missing[i] > ENDED_AFTER:
                cash += held[i]
                held[i] = 0.0
            held[i] *= 1.0 + daytime[t, i]
            equity += held[i]
        invested = equity
        cash -= paid
        equity += cash
        figures[t, RETURN] = equity / before - 1.0
        figures[t, EXPOSURE] = invested / equity
        figures[t, TURNOVER] = moved / before
        figures[t, COST] = paid / before
    return figures
