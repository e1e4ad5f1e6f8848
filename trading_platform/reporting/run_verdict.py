"""A run in one sentence, and why nothing happened where nothing did."""

from __future__ import annotations

from collections.abc import Mapping

from trading_platform.reporting.market_words import benchmark_name
from trading_platform.reporting.run_results import RunResults

SHORTEST_YEAR = 126  # sessions; a return of less than half a year is not told as one a year
SMALLEST = 4  # decimal places of a percentage, at most
PARTS = (
    (0.29, "a quarter of"),
    (0.415, "a third of"),
    (0.585, "half"),
    (0.71, "two thirds of"),
    (0.85, "three quarters of"),
)
# The setting behind a refusal, where one number explains it.
SETTINGS = {
    "POSITION_LIMIT": "max_position_pct",
    "SECTOR_LIMIT": "max_sector_pct",
    "EXPOSURE_LIMIT": "max_exposure_pct",
    "MAX_POSITIONS": "max_positions",
    "ORDER_TOO_SMALL": "min_order_dollars",
}
FRACTION_FACTOR = 5.0  # a percentage times 100 this near to its default, up or down, was meant as one


def verdict(results: RunResults, limits: Mapping[str, object], defaults: Mapping[str, object]) -> str:
    """Return one sentence on what the run was worth, or why there was nothing; `limits` and `defaults` by setting."""
    if results.fills == 0:
        return nothing_happened(results, limits, defaults)
    words = [gain_over_bills(results) + risk_taken(results), f"{results.avg_exposure:.0%} invested".replace("%", " %")]
    behind = against_market(results)
    return ", ".join(words) + (f"; {behind}." if behind else ".")


def gain_over_bills(results: RunResults) -> str:
    """Return e.g. ``+4.1 % a year over bills``; of less than half a year the gain as it is."""
    if results.excess_return is None or results.sessions < SHORTEST_YEAR:
        gain = results.total_return - results.bills_return
        return f"{signed_percent(gain)} over bills in {results.sessions} sessions"
    return f"{signed_percent(results.excess_return)} a year over bills"


def risk_taken(results: RunResults) -> str:
    """Return e.g. `` with a third of the market's risk``; nothing where it cannot be measured."""
    own, market = results.volatility, results.benchmark_volatility
    if own is None or not market:
        return ""
    share = own / market
    if share < 0.2:
        return f" with {share:.0%} of the market's risk".replace("%", " %")
    part = next((words for most, words in PARTS if share < most), None)
    if part is not None:
        return f" with {part} the market's risk"
    return " with the market's risk" if share < 1.15 else f" with {share:.1f} times the market's risk"


def against_market(results: RunResults) -> str:
    """Return e.g. ``12.5 points behind the market``, a year where the run is longer than one."""
    name = benchmark_name(results.market)
    called = "the market" if name != "SPY" else name
    own, market, unit = results.total_return, results.benchmark_return, ""
    if results.sessions > 2 * SHORTEST_YEAR + 10:
        own, market, unit = results.annual_return, results.benchmark_annual_return, " a year"  # type: ignore[assignment]
    if own is None or market is None:
        return ""
    points = 100.0 * (own - market)
    if abs(points) < 0.05:
        return f"level with {called}"
    return f"{abs(points):.1f} points{unit} {'ahead of' if points > 0.0 else 'behind'} {called}"


def nothing_happened(results: RunResults, limits: Mapping[str, object], defaults: Mapping[str, object]) -> str:
    """Return why a run has no fill: who refused what, and a percentage that looks like a fraction."""
    slip = " ".join(_slips(limits, defaults))
    refused = sorted(results.denials.items(), key=lambda item: -item[1])
    if results.orders:
        return f"No order was filled, of {results.orders:,}. {slip}".strip()
    if not refused:
        return f"No strategy asked for a position in {results.sessions:,} sessions. {slip}".strip()
    code, count = refused[0]
    total = sum(results.denials.values())
    whole = f"all {count:,}" if count == total else f"{count:,} of {total:,}"
    name = SETTINGS.get(code, "")
    setting = f"{name} is {limits[name]}{_unit(name)}." if not slip and name in limits else ""
    return " ".join(filter(None, (f"No order passed: {code} refused {whole}.", slip, setting)))


def signed_percent(fraction: float | None) -> str:
    """Return e.g. ``+4.1 %``, ``-0.04 %``: two digits that say something, and never a sign before nothing."""
    if fraction is None:
        return "n/a"
    value = 100.0 * fraction
    digits = 1 if abs(value) >= 0.995 else 2
    while digits < SMALLEST and value and round(value, digits) == 0.0:
        digits += 1
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f} %" if rounded else "0 %"


def _slips(limits: Mapping[str, object], defaults: Mapping[str, object]) -> list[str]:
    """Return percentages that look like fractions."""
    found = []
    for name, value in limits.items():
        usual = defaults.get(name)
        if not name.endswith("_pct") or not isinstance(value, int | float) or not isinstance(usual, int | float):
            continue
        meant = 100.0 * value
        if 0.0 < value < 1.0 <= usual and usual / FRACTION_FACTOR <= meant <= usual * FRACTION_FACTOR:
            found.append(f"{name} is {value:g} percent; did you mean {meant:g}?")
    return found


def _unit(name: str) -> str:
    return " percent" if name.endswith("_pct") else ""
