"""Answers that make no sense, on demand: what a client must not believe.

Each kind has the requests that it spoils unless a fault names others. `rewrite` sets any field, wherever it occurs in
the answer, to any value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trading_platform.alpaca_server.faults import Fault, FaultKind

ABSURD_PRICE = "1e+30"
PRICES = ("current_price", "lastday_price", "market_value", "filled_avg_price", "price", "p", "c", "ap", "bp")
UNKNOWN_WORD = "hypothecated"  # no status of any kind at the service


def distorted(fault: Fault, answer: object) -> object:
    """Return the answer as the fault would have it; faults of other kinds change nothing."""
    match fault.kind:
        case FaultKind.VANISHED_POSITIONS:
            return []
        case FaultKind.INFINITE_CASH:
            return _rewritten(answer, dict.fromkeys(("cash", "buying_power", "equity"), "Infinity"))
        case FaultKind.ABSURD_PRICES:
            return _changed(answer, lambda key, value: _absurd(value) if key in PRICES and value is not None else value)
        case FaultKind.NEGATIVE_FILLS:
            return _changed(answer, _negative)
        case FaultKind.UNKNOWN_WORDS:
            return _rewritten(answer, dict.fromkeys(("status", "type", "order_type", "activity_type"), UNKNOWN_WORD))
        case FaultKind.DOUBLED_ROWS:
            return [row for row in answer for _ in range(2)] if isinstance(answer, list) else answer
        case FaultKind.REWRITE:
            return _rewritten(answer, fault.fields or {})
        case _:
            return answer


def _absurd(value: object) -> object:
    return float(ABSURD_PRICE) if isinstance(value, (int, float)) else ABSURD_PRICE


def _negative(key: str, value: object) -> object:
    if key not in ("filled_qty", "cum_qty", "qty") or value in (None, "0"):
        return value
    return f"-{value}"


def _rewritten(answer: object, values: Mapping[str, object]) -> object:
    return _changed(answer, lambda key, value: values.get(key, value))


def _changed(answer: object, change: Callable[[str, object], object]) -> object:
    """Return `answer` with `change` applied to every named value, at any depth."""
    if isinstance(answer, list):
        return [_changed(entry, change) for entry in answer]
    if not isinstance(answer, dict):
        return answer
    return {key: _changed(change(str(key), value), change) for key, value in answer.items()}
