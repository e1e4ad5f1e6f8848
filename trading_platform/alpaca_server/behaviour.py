"""How the local Alpaca behaves: every habit of the service a switch, in two profiles.

`exact` is the profile of parity: nothing is drawn, cancellations are immediate, the auction is the bar's open. In
`realistic` the server does what Alpaca's documentation, its staff and its users tell of; what is left to chance there
is drawn from the server's seed. The table of facts, sources and tests is in docs/alpaca.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from trading_platform.core.errors import FixConfigError
from trading_platform.core.realistic_fills import ALPACA  # the kernel's realistic fills have the same habits


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches, defaults as in profile `exact`. Chances are in [0, 1] and drawn from the server's seed.

    Attributes
    ----------
    late_cancels
        A cancellation after hours of an order that has been routed stays `pending_cancel` until the next open.
    sleeping_legs
        The legs of a bracket sleep until its entry is filled completely.
    replaced_legs
        Chance, per resting leg and morning, that Alpaca replaces it by one of another id; a leg whose sibling is
        filled in part is then replaced as well, instead of shrinking.
    wash_trades
        A market order or a crossing limit against an open order of the other side is refused (403).
    partial_fills
        Chance that an execution is partial, of a random size; the rest works on.
    limits_rest
        DAY limits that miss the open rest until 16:00 and fill when the price comes back. False: the fill model's way.
    seeded_path
        Whether the low or the high of a bar comes first is drawn for each ticker and session (else the low), and
        resting orders meet every price on the way.
    auction_least, auction_most
        Least and largest distance of the auction's price from the bar's open (the first trade), as a fraction of it;
        the sign is drawn as well, so that it is unbiased.
    stop_slippage
        Largest part of its price by which an elected stop sells lower.
    late_activities
        An activity appears up to so many minutes late.
    doubled_activities, reversed_activities
        Chance that a dividend is booked twice, or in a wrong amount; the wrong row becomes `canceled` the next
        morning, and the right amount comes as `correct`.
    merger_rows
        1 or 2 rows for a merger, 0: drawn.
    late_splits
        Chance that a split is booked in the course of the session instead of before it.
    cash_in_lieu
        Fractions that a split or merger leaves are paid out.
    pays_dividends
        False: as on paper accounts, which pay none.
    reduced_limits
        Plain GTC buy limits fall by a dividend on its ex-date; groups carry DNR/DNC and never do.
    interest_pct
        Interest on cash, percent a year, paid on the first session of a month (INT).
    fees_by_day
        Fees of a day are one FEE row the next morning, of no order in particular.
    gtc_days
        GTC orders end after so many days.
    late_prints
        Volumes of a session grow until 20:00 New York.
    bad_ticks
        Chance, per bar, of an absurd low or high that is corrected before the next open.
    requests_per_minute
        Requests allowed, of trading and of data each; 0: no limit.
    maintenance
        The service is away on the second Saturday of a month, 9:00 to 11:30 New York.
    stream_faults
        Chance, per message of the stream, that it is lost, comes twice, or after the next one.
    """

    late_cancels: bool = False
    sleeping_legs: bool = True
    replaced_legs: float = 0.0
    wash_trades: bool = True
    partial_fills: float = 0.0
    limits_rest: bool = False
    seeded_path: bool = False
    auction_least: float = 0.0
    auction_most: float = 0.0
    stop_slippage: float = 0.0
    late_activities: float = 0.0
    doubled_activities: float = 0.0
    reversed_activities: float = 0.0
    merger_rows: int = 1
    late_splits: float = 0.0
    cash_in_lieu: bool = False
    pays_dividends: bool = True
    reduced_limits: bool = False
    interest_pct: float = 0.0
    fees_by_day: bool = False
    gtc_days: int = 90
    late_prints: bool = False
    bad_ticks: float = 0.0
    requests_per_minute: int = 0
    maintenance: bool = False
    stream_faults: float = 0.0

    def __post_init__(self) -> None:
        for name in CHANCES:
            value = getattr(self, name)
            if not (0.0 <= value <= 1.0):
                raise FixConfigError(f"behaviour {name} must be in [0, 1], was {value}")
        if self.merger_rows not in (0, 1, 2):
            raise FixConfigError(f"behaviour merger_rows must be 0 (drawn), 1 or 2, was {self.merger_rows}")
        if not (0.0 <= self.auction_least <= self.auction_most < 0.5):
            raise FixConfigError(
                f"behaviour auction_least and auction_most must satisfy 0 <= least <= most < 0.5, "
                f"were {self.auction_least} and {self.auction_most}"
            )
        for name in ("late_activities", "interest_pct", "gtc_days", "requests_per_minute"):
            if not (0.0 <= getattr(self, name) < math.inf):
                raise FixConfigError(f"behaviour {name} must not be negative, was {getattr(self, name)}")


CHANCES = (
    "replaced_legs",
    "partial_fills",
    "stop_slippage",
    "doubled_activities",
    "reversed_activities",
    "late_splits",
    "bad_ticks",
    "stream_faults",
)
EXACT = Behaviour()
REALISTIC = Behaviour(
    late_cancels=True,
    replaced_legs=0.02,
    partial_fills=ALPACA.partial_fills,
    limits_rest=True,
    seeded_path=True,
    auction_least=ALPACA.auction_least,
    auction_most=ALPACA.auction_most,
    stop_slippage=ALPACA.stop_slippage,
    late_activities=45.0,
    doubled_activities=0.05,
    reversed_activities=0.05,
    merger_rows=0,
    late_splits=0.5,
    cash_in_lieu=True,
    reduced_limits=True,
    interest_pct=2.0,
    fees_by_day=True,
    late_prints=True,
    bad_ticks=0.0005,
    requests_per_minute=200,
    maintenance=True,
    stream_faults=0.02,
)
PROFILES: Mapping[str, Behaviour] = {"exact": EXACT, "realistic": REALISTIC}


def profile(name: str) -> Behaviour:
    """Return the profile of that name.

    Raises
    ------
    FixConfigError
        There is none.
    """
    if name not in PROFILES:
        raise FixConfigError(f"profile must be one of {', '.join(sorted(PROFILES))}, was {name!r}")
    return PROFILES[name]


def changed(behaviour: Behaviour, wish: Mapping[str, object]) -> Behaviour:
    """Return `behaviour` with the switches that `wish` names; its key `profile` starts from that profile.

    Raises
    ------
    FixConfigError
        An unknown switch, or a value of the wrong kind or out of range.
    """
    base = profile(str(wish["profile"])) if "profile" in wish else behaviour
    known = {field.name: getattr(base, field.name) for field in fields(Behaviour)}
    values: dict[str, object] = {}
    for name, value in wish.items():
        if name == "profile":
            continue
        if name not in known:
            raise FixConfigError(f"behaviour {name!r} is unknown; there are {', '.join(sorted(known))}")
        values[name] = _like(name, known[name], value)
    return replace(base, **values)  # type: ignore[arg-type]  # _like has checked each against its field


def _like(name: str, known: object, value: object) -> object:
    if isinstance(known, bool):
        if isinstance(value, bool):
            return value
        raise FixConfigError(f"behaviour {name} must be true or false, was {value!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FixConfigError(f"behaviour {name} must be a number, was {value!r}")
    return int(value) if isinstance(known, int) else float(value)
