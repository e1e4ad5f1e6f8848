"""The second book of fills: what Alpaca does otherwise than fill everything at the official open.

The first, `exact`, fills at the bar's open and in full. In `realistic` chance has a say, drawn from the run's seed for
each session and security (`core.draws`), by the habits that are told of Alpaca:

* what waits for the open trades in the opening auction, whose price lies a little beside the official open, the first
  trade; either way alike;
* an order is filled in part, of a random size, one time in ten;
* a stop that is elected sells a little lower than what it was elected at.

Chance is laid down beside the bars, once for a market (`draw_fills`), so that whoever trades it meets the same.

Shapes: `draws` is (N, T, fields), or empty where fills are exact; prices are dollars a share.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.costs import Costs
from trading_platform.core.draws import Words, drawing_states, uniforms
from trading_platform.core.fills import buy_price, round_shares
from trading_platform.core.market import Market
from trading_platform.core.types import Floats, MarketPanel, Side

AUCTION, BUY_PART, SELL_PART, STOP_SLIP = range(4)  # fields of `Market.draws`
WHOLE = 1.0  # the part of an order that is filled in full
EXACT, REALISTIC = "exact", "realistic"


class FillDraw(IntEnum):
    """What is drawn for fills. Numbers are never used again, so that a new draw changes no old one."""

    AUCTION = 1
    AUCTION_SIGN = 2
    PARTIAL = 4
    PARTIAL_SIZE = 5
    STOP = 6


class FillHabits(NamedTuple):
    """How fills differ from the exact ones.

    Attributes
    ----------
    auction_least, auction_most
        Least and largest distance of the auction's price from the bar's open, as a fraction of it.
    partial_fills
        Chance that an execution is partial, of a random size.
    stop_slippage
        Largest part of its price by which an elected stop sells lower.
    """

    auction_least: float
    auction_most: float
    partial_fills: float
    stop_slippage: float


ALPACA = FillHabits(
    auction_least=0.001,  # forum.alpaca.markets 14227, 14672: 0.1 to 0.3 % either way
    auction_most=0.003,
    partial_fills=0.1,  # the paper-trading page: "partial fills for a random size 10% of the time"
    stop_slippage=0.001,
)


def with_fills(market: Market, panel: MarketPanel, fills: str, seed: int) -> Market:
    """Return `market`, made from `panel`, under the book of fills of that name: "exact" or "realistic".

    Raises
    ------
    ValueError
        There is no such book of fills.
    """
    if fills == EXACT:
        return market._replace(draws=np.empty((0, 0, 0)))
    if fills == REALISTIC:
        return market._replace(draws=draw_fills(panel, seed))
    raise ValueError(f"fills must be {EXACT!r} or {REALISTIC!r}, was {fills!r}")


def draw_fills(panel: MarketPanel, seed: int, habits: FillHabits = ALPACA) -> Floats:
    """Return what chance does to fills in `panel`, (N, T, 4): `Market.draws`.

    The auction's price in dollars (NaN without a bar); the part of a buy and of a sale that is filled, in [0, 1];
    and the fraction by which an elected stop sells lower.
    """
    days = panel.sessions.astype("datetime64[D]").astype(np.int64)
    ids = panel.security_ids
    sides = {side: drawing_states(seed, days, [f"{name}/{side.value}" for name in ids]) for side in Side}
    draws = np.empty((panel.n_tickers, panel.n_sessions, 4))
    draws[:, :, AUCTION] = _auction_prices(panel.open.T, drawing_states(seed, days, ids), habits)
    draws[:, :, BUY_PART] = _filled_parts(sides[Side.BUY], habits)
    draws[:, :, SELL_PART] = _filled_parts(sides[Side.SELL], habits)
    draws[:, :, STOP_SLIP] = habits.stop_slippage * uniforms(sides[Side.SELL], FillDraw.STOP)
    return draws


def _auction_prices(opened: Floats, states: Words, habits: FillHabits) -> Floats:
    """Return the auction's prices beside the bars' opens, in ticks."""
    span = habits.auction_most - habits.auction_least
    size = habits.auction_least + span * uniforms(states, FillDraw.AUCTION)
    sign = np.where(uniforms(states, FillDraw.AUCTION_SIGN) < 0.5, 1.0, -1.0)
    ticks = np.where(opened >= 1.0, 100.0, 10_000.0)
    prices: Floats = np.floor(opened * (1.0 + sign * size) * ticks + 0.5) / ticks
    return prices


def _filled_parts(states: Words, habits: FillHabits) -> Floats:
    """Return the part of an order that is filled: mostly the whole of it."""
    parts = np.full(states.shape, WHOLE)
    partial = uniforms(states, FillDraw.PARTIAL) < habits.partial_fills
    parts[partial] = uniforms(states[partial], FillDraw.PARTIAL_SIZE)
    return parts


# ---------------------------------------------------------------- what sessions ask


class Offer(NamedTuple):
    """What an entry meets: the quoted price, and what is paid with costs, dollars a share; 0 = it does not trade."""

    quote: float
    price: float


@lean
def opening_quote(draws: Floats, ticker: int, t: int, opened: float) -> float:
    """Return the price that a sale at the open of session `t` meets: the official open, or the auction's price."""
    if len(draws) == 0:
        return opened
    price: float = draws[ticker, t, AUCTION]
    return price


@lean
def entry_offer(
    draws: Floats, ticker: int, t: int, opened: float, limit: float, quantity: float, volume: float, costs: Costs
) -> Offer:
    """Return what a buy of `quantity` shares at the open of session `t` meets.

    Exact: the official open, and no fill where costs carry the price above `limit`. Realistic: the auction's price, or
    where that is above the limit the first trade, which comes before the engine takes an unfilled entry back; nothing
    is ever paid above the limit.
    """
    if len(draws) == 0:
        price = buy_price(opened, quantity, volume, costs)
        return Offer(opened, price if price <= limit else 0.0)
    quote = draws[ticker, t, AUCTION]
    if not (quote <= limit):
        quote = opened
    if not (quote <= limit):
        return Offer(quote, 0.0)
    return Offer(quote, min(buy_price(quote, quantity, volume, costs), limit))


@lean
def filled_part(draws: Floats, ticker: int, t: int, field: int, quantity: float, share_step: float) -> float:
    """Return how many of `quantity` shares that could trade do; `field` is BUY_PART or SELL_PART.

    At least one step, so that a small order is whole or not at all.
    """
    if len(draws) == 0:
        return quantity
    return min(quantity, round_shares(quantity * draws[ticker, t, field], share_step) + share_step)


@lean
def elected_quote(draws: Floats, ticker: int, t: int, quote: float) -> float:
    """Return what a stop that was elected at `quote` meets: in a moving market a little less."""
    if len(draws) == 0:
        return quote
    slipped: float = quote * (1.0 - draws[ticker, t, STOP_SLIP])
    return math.floor(slipped * 10_000.0 + 0.5) / 10_000.0
