"""How the local server turns a touched order into an execution. Pluggable, so that it can equal the paper broker's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trading_platform.core.costs import CostConfig
from trading_platform.core.fills import (
    buy_price,
    commission,
    fill_quantity,
    regulatory_fees,
    round_cents,
    round_shares,
    sell_price,
)
from trading_platform.core.types import Side


@dataclass(frozen=True, slots=True)
class Touched:
    """An order that meets a price: shares left, the quoted price, and what limits the execution."""

    side: Side
    quantity: float
    quote: float
    limit_price: float | None
    volume: float
    cash: float


@dataclass(frozen=True, slots=True)
class Execution:
    """Shares, dollars a share, and fees in dollars."""

    quantity: float
    price: float
    fees: float = 0.0


class FillModel(Protocol):
    """Decides executions."""

    @property
    def fills_after_open(self) -> bool:
        """False where an entry that missed the open never fills."""
        ...

    def execute(self, order: Touched) -> Execution | None:
        """Return the execution of a touched order, or None if it does not trade now."""
        ...


@dataclass(frozen=True, slots=True)
class ExactFills:
    """Everything fills in full at the quoted price, at no cost."""

    fills_after_open: bool = True

    def execute(self, order: Touched) -> Execution | None:
        """Fill the whole order at the quote."""
        return Execution(order.quantity, order.quote)


class PaperFills:
    """The paper broker's fills: half-spread, slippage, impact, fees and the cap on the share of volume.

    An entry whose price with costs is above its limit, or beyond the cash at hand, does not fill; what the volume cap
    leaves over is not worked again, and of a sale not in the same session. A stop or target sells at its quoted price
    less costs.
    """

    fills_after_open = False

    def __init__(self, costs: CostConfig | None = None, share_step: float = 1.0) -> None:
        self._costs = (costs or CostConfig()).rates()
        self._share_step = share_step

    def execute(self, order: Touched) -> Execution | None:
        """Fill what volume, limit and cash allow, with costs."""
        quantity = fill_quantity(order.quantity, order.volume, self._share_step, self._costs)
        if order.side is Side.BUY and order.limit_price is not None:
            quantity = min(quantity, round_shares(order.cash / order.limit_price, self._share_step))
        if not (quantity > 0.0):
            return None
        if order.side is Side.BUY:
            price = buy_price(order.quote, quantity, order.volume, self._costs)
            if order.limit_price is not None and not (price <= order.limit_price):
                return None
            return Execution(quantity, price, commission(quantity, self._costs))
        price = sell_price(order.quote, quantity, order.volume, self._costs)
        fees = commission(quantity, self._costs) + regulatory_fees(quantity, quantity * price, self._costs)
        return Execution(quantity, price, round_cents(fees))


class RealisticFills(PaperFills):
    """The paper broker's costs, where a limit rests: it never buys above itself, and what is left over goes on."""

    fills_after_open = True

    def execute(self, order: Touched) -> Execution | None:
        """Fill as the paper broker does, a touched buy limit at its limit at worst."""
        if order.limit_price is None or order.side is Side.SELL:
            return super().execute(order)
        free = Touched(order.side, order.quantity, order.quote, None, order.volume, order.cash)
        filled = super().execute(free)
        if filled is None or not (order.quote <= order.limit_price):
            return None
        return Execution(filled.quantity, min(filled.price, order.limit_price), filled.fees)
