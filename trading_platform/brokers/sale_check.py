"""What would refuse a sale, asked before the stop that protects the shares is given up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trading_platform.alpaca.answers import AssetFlags
from trading_platform.core.compiled import plain
from trading_platform.core.fills import ticks_a_dollar
from trading_platform.core.ports import BrokerAccount, BrokerOrder
from trading_platform.core.types import Side

# A sale with a limit above the owner's resting buy is no wash trade. So far below the last price, as a fraction of it,
# such a limit costs nothing; nearer, the exit might rest where the decision was to leave.
FAR_BELOW = 0.9

_ticks_a_dollar = plain(ticks_a_dollar)


class SaleCheck(NamedTuple):
    """Why a sale would be refused ("" = nothing is known that would), and the limit that it needs (None = none)."""

    refusal: str = ""
    limit_price: float | None = None


def check_sale(
    ticker: str,
    price: float,
    account: BrokerAccount,
    asset: AssetFlags | None,
    orders: Iterable[BrokerOrder],
    prefix: str,
) -> SaleCheck:
    """Return what the account, the asset and the owner's open orders mean for a sale.

    Parameters
    ----------
    ticker, price
        What is to be sold, and its last known price in dollars.
    account, asset
        As the broker has them; an asset of None is one that it does not list.
    orders, prefix
        All open orders; client order ids that begin with the prefix are ours.
    """
    if account.is_blocked:
        return SaleCheck("the account may not trade: it is blocked at the broker")
    if asset is None or not asset.tradable:
        return SaleCheck(f"{ticker} cannot be traded now: halted, or no longer listed")
    buys = [
        order
        for order in orders
        if order.ticker == ticker and order.side is Side.BUY and not order.client_order_id.startswith(prefix)
    ]
    if not buys:
        return SaleCheck()
    limits = [order.limit_price for order in buys if order.limit_price is not None]
    if len(limits) == len(buys):
        step = 1.0 / float(_ticks_a_dollar(max(limits)))
        floor = max(limits) + step
        if floor <= FAR_BELOW * price:
            return SaleCheck(limit_price=floor)
    return SaleCheck(f"the owner's open buy of {ticker} would make it a wash trade: cancel {_named(buys)}")


def _named(orders: Iterable[BrokerOrder]) -> str:
    return ", ".join(
        f"{order.quantity:g} at {'the market' if order.limit_price is None else f'{order.limit_price:g}'}"
        for order in orders
    )
