"""What the account's owner does beside the engine in other kinds of things: options, crypto, orders nobody can read.

They are shown as the service shows them and, when filled, move money and a position of their own; they are not matched
with prices. Share orders of any kind (notional, trailing, OTO) are ordinary orders of this server.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.records import ForeignOrder, Json, number, stamp
from trading_platform.core.errors import FixConfigError
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import SHARE_NOISE

KINDS = ("option", "mleg", "crypto", "unreadable")
OPTION_MULTIPLIER = 100.0


@dataclass(frozen=True, slots=True)
class Deal:
    """A foreign order as an admin request words it: `price` in dollars a contract's share, a coin, a spread."""

    kind: str
    symbol: str
    side: str
    quantity: float
    price: float
    filled: bool
    legs: tuple[str, ...]

    @classmethod
    def from_json(cls, wish: Json) -> Deal:
        """Read an admin request.

        Raises
        ------
        FixConfigError
            A kind that is not known.
        """
        kind = str(wish.get("kind"))
        if kind not in KINDS:
            raise FixConfigError(f"foreign kind must be one of {', '.join(KINDS)}, was {kind!r}")
        legs = wish.get("legs", [])
        if not isinstance(legs, list):
            raise FixConfigError(f"foreign legs must be a list of contracts, was {legs!r}")
        symbols = {"option": "AAPL250117C00190000", "crypto": "BTC/USD"}
        return cls(
            kind=kind,
            symbol=str(wish.get("symbol", symbols.get(kind, ""))),
            side=str(wish.get("side", "buy")),
            quantity=float(str(wish.get("qty", 1.0))),
            price=float(str(wish.get("price", 1.0))),
            filled=bool(wish.get("filled", False)),
            legs=tuple(str(leg) for leg in legs) or ("AAPL250117P00190000", "AAPL250117P00195000"),
        )

    @property
    def asset_class(self) -> str:
        """The service's word for it."""
        return {"crypto": "crypto", "mleg": ""}.get(self.kind, "us_option")

    @property
    def dollars(self) -> float:
        """What it costs (a buy) or brings (a sale), unsigned."""
        return round_cents(self.quantity * self.price * (1.0 if self.kind == "crypto" else OPTION_MULTIPLIER))


class ForeignDesk:
    """Puts foreign orders, their fills and positions into the account."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self.positions: dict[str, Json] = {}

    def place(self, deal: Deal) -> ForeignOrder:
        """Let the owner place (and perhaps fill) a foreign order."""
        at, ids = self._exchange.market.now, self._exchange.identifiers
        order_id, client_id = ids.next(), ids.next()
        entity = self._entity(deal, order_id, client_id, at)
        order = ForeignOrder(order_id, client_id, deal.symbol, deal.side, at, entity)
        self._exchange.foreign[order_id] = order
        if deal.filled and deal.kind != "unreadable":
            self._fill(deal, order, at)
        return order

    def cancel(self, order: ForeignOrder) -> None:
        """Let the owner cancel a foreign order."""
        order.entity["status"], order.entity["canceled_at"] = "canceled", stamp(self._exchange.market.now)

    def _fill(self, deal: Deal, order: ForeignOrder, at: datetime) -> None:
        cash = -deal.dollars if deal.side == "buy" else deal.dollars
        symbols = deal.legs if deal.kind == "mleg" else (deal.symbol,)
        account = self._exchange.account
        for place, symbol in enumerate(symbols):
            side = deal.side if place % 2 == 0 else {"buy": "sell", "sell": "buy"}[deal.side]
            body: Json = {
                "price": number(deal.price if place == 0 else 0.01),
                "qty": number(deal.quantity),
                "side": side,
                "symbol": symbol,
                "cum_qty": number(deal.quantity),
                "order_id": order.id,
                "order_status": "filled",
            }
            cent = round_cents(0.01 * deal.quantity * OPTION_MULTIPLIER) * (-1.0 if side == "buy" else 1.0)
            moved = cash if place == 0 else cent
            account.book_foreign_fill(at, moved, body)
            self._hold(deal, symbol, side, -moved)

    def _hold(self, deal: Deal, symbol: str, side: str, value: float) -> None:
        """Keep a position at what it has cost; foreign prices do not move here."""
        account, sign = self._exchange.account, 1.0 if side == "buy" else -1.0
        known = self.positions.pop(symbol, None)
        quantity = sign * deal.quantity + (0.0 if known is None else float(str(known["qty"])))
        cost = round_cents(value + (0.0 if known is None else float(str(known["cost_basis"]))))
        account.foreign_value = round_cents(account.foreign_value + value)
        if abs(quantity) < SHARE_NOISE:
            account.foreign_value = round_cents(account.foreign_value - cost)  # what is left is profit or loss: cash
            return
        price = number(deal.price)
        self.positions[symbol] = {
            "asset_id": self._exchange.identifiers.named(symbol),
            "symbol": symbol,
            "exchange": "" if deal.kind != "crypto" else "CRYPTO",
            "asset_class": "crypto" if deal.kind == "crypto" else "us_option",
            "asset_marginable": False,
            "avg_entry_price": price,
            "qty": number(quantity),
            "qty_available": number(quantity),
            "side": "long" if quantity > 0.0 else "short",
            "market_value": number(cost),
            "cost_basis": number(cost),
            "unrealized_pl": "0",
            "unrealized_plpc": "0",
            "unrealized_intraday_pl": "0",
            "unrealized_intraday_plpc": "0",
            "current_price": price,
            "lastday_price": price,
            "change_today": "0",
        }

    def _entity(self, deal: Deal, order_id: str, client_id: str, at: datetime) -> Json:
        names = self._exchange.identifiers
        done = deal.filled
        head: Json = {"id": order_id, "client_order_id": client_id, "created_at": stamp(at), "submitted_at": stamp(at)}
        if deal.kind == "unreadable":
            return {
                **head,
                "symbol": None,
                "side": "sell_to_forget",
                "type": "iceberg",
                "status": "quantum",
                "qty": "?",
            }
        entity: Json = {
            **head,
            "updated_at": stamp(at),
            "filled_at": stamp(at) if done else None,
            "expired_at": None,
            "canceled_at": None,
            "failed_at": None,
            "replaced_at": None,
            "replaced_by": None,
            "replaces": None,
            "asset_id": "" if deal.kind == "mleg" else names.named(deal.symbol),
            "symbol": deal.symbol,
            "asset_class": deal.asset_class,
            "notional": None,
            "qty": number(deal.quantity),
            "filled_qty": number(deal.quantity if done else 0.0),
            "filled_avg_price": number(deal.price) if done else None,
            "order_class": "mleg" if deal.kind == "mleg" else "simple",
            "order_type": "limit",
            "type": "limit",
            "side": "" if deal.kind == "mleg" else deal.side,
            "time_in_force": "gtc" if deal.kind == "crypto" else "day",
            "limit_price": number(deal.price),
            "stop_price": None,
            "status": "filled" if done else "new",
            "extended_hours": False,
            "legs": None,
            "trail_percent": None,
            "trail_price": None,
            "hwm": None,
        }
        if deal.kind == "mleg":
            entity["position_intent"] = ""  # as symbol, side and class: alpaca-py 557
            entity["legs"] = [self._leg(entity, deal, place) for place in range(len(deal.legs))]
        return entity

    def _leg(self, entity: Json, deal: Deal, place: int) -> Json:
        buys = (place % 2 == 0) == (deal.side == "buy")
        return {
            **entity,
            "id": self._exchange.identifiers.next(),
            "client_order_id": self._exchange.identifiers.next(),
            "asset_id": self._exchange.identifiers.named(deal.legs[place]),
            "symbol": deal.legs[place],
            "asset_class": "us_option",
            "side": "buy" if buys else "sell",
            "position_intent": "buy_to_open" if buys else "sell_to_open",
            "ratio_qty": "1",
            "limit_price": None,
            "legs": None,
        }
