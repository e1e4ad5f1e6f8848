"""How orders become fills: prices, costs, volume, stops. One implementation for backtest, training and paper trading.

Costs are always on. A market participant pays half the spread, some slippage, and an impact that grows with the
square root of the share of the session's volume (Almgren et al. 2005, "Direct Estimation of Equity Market Impact").
Defaults are for liquid US large caps through a commission-free broker; regulatory fees are those of sells.
"""

from __future__ import annotations

import math

from trading_platform.core.compiled import lean
from trading_platform.core.costs import Costs, Protection

DELISTED_AFTER_SESSIONS = 10  # without a bar; then a position settles at its last price less `Costs.delisting_haircut`
ABSURD_PRICE = 1e9  # dollars a share


@lean
def round_cents(dollars: float) -> float:
    """Return `dollars` rounded half away from zero to whole cents."""
    if dollars >= 0.0:
        return math.floor(dollars * 100.0 + 0.5) / 100.0
    return -math.floor(-dollars * 100.0 + 0.5) / 100.0


@lean
def round_shares(quantity: float, share_step: float) -> float:
    """Return the largest multiple of `share_step` that is <= `quantity` (shares); the slack absorbs float noise."""
    return math.floor(quantity / share_step + 1e-9) * share_step


@lean
def cost_fraction(quantity: float, volume: float, costs: Costs) -> float:
    """Return how much worse than the quoted price a fill is, as a fraction of price."""
    return costs.half_spread + costs.slippage + costs.impact * math.sqrt(quantity / volume * 100.0)


@lean
def fill_quantity(quantity: float, volume: float, share_step: float, costs: Costs) -> float:
    """Return the shares of an order that a session of `volume` shares can fill; 0 when the volume is unknown."""
    if not (volume > 0.0):
        return 0.0
    return min(quantity, round_shares(costs.max_participation * volume, share_step))


@lean
def buy_price(quote: float, quantity: float, volume: float, costs: Costs) -> float:
    """Return the price a buyer pays, dollars a share."""
    return quote * (1.0 + cost_fraction(quantity, volume, costs))


@lean
def sell_price(quote: float, quantity: float, volume: float, costs: Costs) -> float:
    """Return the price a seller gets, dollars a share; never below zero."""
    return quote * max(0.0, 1.0 - cost_fraction(quantity, volume, costs))


@lean
def commission(quantity: float, costs: Costs) -> float:
    """Return the commission of an order, dollars, rounded up to the cent."""
    return round_up_cents(max(costs.min_commission, costs.commission_per_share * quantity))


@lean
def regulatory_fees(quantity: float, amount: float, costs: Costs) -> float:
    """Return the regulatory fees of a sale of `amount` dollars, each rounded up to the cent."""
    sec = round_up_cents(amount * costs.sec_fee)
    taf = min(round_up_cents(quantity * costs.taf_per_share), costs.taf_max)
    return round_cents(sec + taf)


@lean
def lost_to_market(quote_amount: float, lost: float, costs: Costs) -> tuple[float, float, float]:
    """Split the dollars `lost` against the quoted price into (spread, slippage, impact), in cents that add up to them.

    `quote_amount` is what the shares were worth at the quote, dollars.
    """
    spread = round_cents(quote_amount * costs.half_spread)
    slippage = round_cents(quote_amount * costs.slippage)
    if costs.impact > 0.0:
        return spread, slippage, round_cents(lost - spread - slippage)
    if costs.slippage > 0.0:
        return spread, round_cents(lost - spread), 0.0
    return lost, 0.0, 0.0


@lean
def part_of(total: float, before: float, after: float, whole: float) -> float:
    """Return the part of `total` dollars that shares `before` to `after` of `whole` have; the parts add up to it."""
    if before == 0.0 and after == whole:  # one lot has it all, as with most orders
        return round_cents(total)
    return round_cents(round_cents(total * after / whole) - round_cents(total * before / whole))


@lean
def round_up_cents(dollars: float) -> float:
    """Return `dollars` rounded up to whole cents; the slack keeps exact cents where they are."""
    return math.ceil(dollars * 100.0 - 1e-9) / 100.0


@lean
def ticks_a_dollar(price: float) -> float:
    """Return how many price steps a dollar has: cents from $1 up, hundredths of a cent below (SEC rule 612)."""
    return 100.0 if price >= 1.0 else 10_000.0


@lean
def to_tick(price: float) -> float:
    """Return `price` at the nearest price that an exchange takes, dollars a share; NaN and absurd ones as they are."""
    if not (0.0 < price < ABSURD_PRICE):
        return price
    ticks = ticks_a_dollar(price)
    return math.floor(price * ticks + 0.5) / ticks


@lean
def down_to_tick(price: float) -> float:
    """Return the highest price that an exchange takes that is not above `price`; the slack absorbs float noise."""
    if not (0.0 < price < ABSURD_PRICE):
        return price
    ticks = ticks_a_dollar(price)
    return math.floor(price * ticks + 1e-7) / ticks


@lean
def protective_prices(
    price: float, volatility: float, protection: Protection, disaster_stop: float
) -> tuple[float, float]:
    """Return (stop, target) in dollars a share for a long entry decided at `price`, in ticks; target 0 = none.

    `volatility` is the ticker's daily volatility as a fraction; it must be known (the caller has checked). A strategy
    without a stop of its own has the engine's disaster stop, `disaster_stop` below the price.
    """
    distance = disaster_stop
    if protection.stop_volatilities > 0.0:
        wished = max(protection.stop_volatilities * volatility, protection.min_stop)
        distance = min(wished, protection.max_stop)
    elif protection.trailing > 0.0:
        distance = protection.trailing
    target = 0.0
    if protection.target_volatilities > 0.0:
        target = to_tick(price * (1.0 + protection.target_volatilities * volatility))
    return to_tick(price * (1.0 - distance)), target


@lean
def triggered_exit(open_: float, high: float, low: float, stop: float, target: float) -> tuple[int, float]:
    """Return (0 none | 1 stop | 2 target, quoted exit price) for a long position held through a session.

    A gap through either level fills at the open. If a bar touches both, the stop is taken to have come first, the
    worse of the two. NaN prices trigger nothing.
    """
    if stop > 0.0 and open_ <= stop:
        return 1, open_
    if target > 0.0 and open_ >= target:
        return 2, open_
    if stop > 0.0 and low <= stop:
        return 1, stop
    if target > 0.0 and high >= target:
        return 2, target
    return 0, 0.0
