"""From a decision to the order that says it, before risk has spoken."""

from __future__ import annotations

from trading_platform.core.compiled import plain
from trading_platform.core.costs import Exits
from trading_platform.core.decide import entry_price
from trading_platform.core.fills import protective_prices, round_shares
from trading_platform.core.ledger import Record
from trading_platform.core.market import CLOSE, VOLATILITY
from trading_platform.core.risk.rules import Limits
from trading_platform.core.types import ORDER_REASONS, OrderIntent, OrderReason, Side
from trading_platform.core.view import MarketView

# A few multiplications: handing them to compiled code would take longer than they do.
_entry_price, _round_shares, _protective_prices = plain(entry_price), plain(round_shares), plain(protective_prices)


def entry_intent(
    view: MarketView, column: int, strategy: str, strength: float, dollars: float, exits: Exits, limits: Limits
) -> OrderIntent:
    """Return a buy of `dollars` worth at the limit price, with its stop and target; 0 shares if that buys none."""
    bar = view.market.bars[column, view.t].tolist()
    price = bar[CLOSE]
    limit_price = _entry_price(price, limits)
    quantity = float(_round_shares(dollars / limit_price, limits.share_step)) if dollars > 0.0 else 0.0
    stop, target = _protective_prices(price, bar[VOLATILITY], exits)
    return OrderIntent(
        ticker=view.tickers[column],
        side=Side.BUY,
        quantity=quantity,
        limit_price=limit_price,
        stop_price=float(stop),
        target_price=float(target),
        strategy=strategy,
        reason=OrderReason.ENTRY,
        strength=strength,
        decided_session=view.session,
    )


def exit_intent(view: MarketView, slot: Record, strategy: str, reason: int) -> OrderIntent:
    """Return a sale of the whole position in `slot` at the next open; `reason` is an `OrderReason` number."""
    return OrderIntent(
        ticker=view.tickers[slot["ticker"]],
        side=Side.SELL,
        quantity=float(slot["quantity"]),
        limit_price=None,
        stop_price=None,
        target_price=None,
        strategy=strategy,
        reason=ORDER_REASONS[reason],
        strength=0.0,
        decided_session=view.session,
    )


def order_id(intent: OrderIntent, attempt: int = 0) -> str:
    """Return the client order id of a decision: the same decision always has the same id, whoever recomputes it."""
    day = intent.decided_session.isoformat().replace("-", "")
    return f"tp-{day}-{intent.ticker}-{intent.side}-{intent.reason}-{attempt}"
