"""Two to six runs beside each other on the sessions that they share, each against the first, with what luck could do.

Figures are those of a run's results, on common sessions; intervals of differences come from resamples of all runs
together, so that what moved the market moves none of the differences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from trading_platform.configuration.trading_config import NOT_DECIDING
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats
from trading_platform.evaluation.resampled_figures import FigureSamples, Interval, interval_of
from trading_platform.market_data.exchange import exchange_of_source
from trading_platform.reporting.facts import Day
from trading_platform.reporting.market_words import benchmark_name, market_words, money_words
from trading_platform.reporting.run_figures import Figures, Returns, daily_returns, figures, known
from trading_platform.reporting.run_intervals import samples_of
from trading_platform.reporting.run_record import RunRow
from trading_platform.reporting.run_results import RunResults
from trading_platform.reporting.run_shape import closes_of, growth

FEWEST, MOST = 2, 6
SCHEMA_VERSION = 1
ABSENT = "not set"
FINGERPRINT = 12  # signs of a hash that tell two apart


class RunCase(NamedTuple):
    """One run that is compared. `why` is who split its capital."""

    run: RunRow
    results: RunResults
    days: tuple[Day, ...]
    why: tuple[tuple[str, str], ...]

    @property
    def sign(self) -> str:
        """What stands before an amount of this run's money."""
        return exchange_of_source(self.run.source).sign


class Difference(NamedTuple):
    """A run's figure less the first run's, and the 95 % interval of that; None and NaN = unknown."""

    value: float | None
    interval: Interval


class FigureLine(NamedTuple):
    """One figure of every run; `differences` are those of the second, third, ... run to the first.

    `unit` is ``%`` (values are fractions), ``$``, ``x`` (a ratio) or nothing (a count).
    """

    key: str
    name: str
    unit: str
    values: tuple[float | None, ...]
    differences: tuple[Difference, ...] = ()


class Comparison(NamedTuple):
    """What runs have in common and what not. `curves` are growth since the first common close, (T,) each."""

    cases: tuple[RunCase, ...]
    sessions: tuple[date, ...]
    curves: tuple[Floats, ...]
    market_curve: Floats
    figures: tuple[FigureLine, ...]
    settings: dict[str, tuple[str, ...]]
    resamples: int
    notices: tuple[str, ...]


# key, name, unit; those that resamples know have an interval
RESAMPLED = (
    ("annual_return", "return a year", "%"),
    ("excess_return", "a year over bills", "%"),
    ("sharpe", "Sharpe ratio over bills", "x"),
    ("max_drawdown", "deepest fall", "%"),
    ("volatility", "volatility a year", "%"),
    ("beta", "beta", "x"),
)


def compare_runs(cases: Sequence[RunCase]) -> Comparison:
    """Compare runs on their common sessions.

    Raises
    ------
    FixConfigError
        Fewer than two or more than six runs, one of them twice, or fewer than two common sessions.
    """
    _check(cases)
    shared = sorted(set.intersection(*({day.session for day in case.days} for case in cases)))
    if len(shared) < FEWEST:
        spans = ", ".join(f"run {c.run.id} {c.results.first_session} to {c.results.last_session}" for c in cases)
        raise FixConfigError(f"these runs have no sessions in common ({spans}): compare runs of the same years")
    parts = [_on(case, shared) for case in cases]
    returns = [part.returns for part in parts]
    books = np.column_stack([each.own[1:] for each in returns])
    market = returns[0].benchmark[1:]
    samples = samples_of(books, returns[0].bills[1:], market)
    return Comparison(
        cases=tuple(cases),
        sessions=tuple(shared),
        curves=tuple(growth(each.own) for each in returns),
        market_curve=growth(returns[0].benchmark),
        figures=(*_measured(parts, samples), *_counted(cases)),
        settings=differing_settings(cases),
        resamples=0 if samples is None else len(samples.sharpe),
        notices=tuple(_notices(cases, len(shared))),
    )


def differing_settings(cases: Sequence[RunCase]) -> dict[str, tuple[str, ...]]:
    """Return every setting, and every fact of data and program, in which the runs are not all alike."""
    tables = [_facts(case) for case in cases]
    names = list(dict.fromkeys(name for table in tables for name in table))
    found = {name: tuple(table.get(name, ABSENT) for table in tables) for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON values; fractions stay fractions, None is unknown."""
    ids = [case.run.id for case in comparison.cases]
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": [
            {
                "id": case.run.id,
                "mode": case.run.mode,
                "money": money_words(case.run.mode),
                "market": case.run.source,
                "first_session": case.results.first_session,
                "last_session": case.results.last_session,
                "tag": case.run.tag,
                "note": case.run.note,
            }
            for case in comparison.cases
        ],
        "first_session": comparison.sessions[0].isoformat(),
        "last_session": comparison.sessions[-1].isoformat(),
        "sessions": len(comparison.sessions),
        "resamples": comparison.resamples,
        "figures": {
            line.key: {
                "values": list(line.values),
                "differences": [
                    {
                        "run": run,
                        "to": ids[0],
                        "value": each.value,
                        "low": known(each.interval.low),
                        "high": known(each.interval.high),
                    }
                    for run, each in zip(ids[1:], line.differences, strict=False)
                ],
            }
            for line in comparison.figures
        },
        "settings": {name: list(values) for name, values in comparison.settings.items()},
        "notices": list(comparison.notices),
    }


def verdicts(comparison: Comparison) -> list[str]:
    """Return one sentence for each run but the first: its Sharpe ratio beside the first's, and whether luck does it."""
    line = next(line for line in comparison.figures if line.key == "sharpe")
    first = comparison.cases[0].run.id
    found = []
    for case, each in zip(comparison.cases[1:], line.differences, strict=True):
        lead = f"Run {case.run.id} against run {first}: Sharpe ratio"
        if each.value is None:
            found.append(f"{lead} cannot be compared.")
            continue
        low, high = each.interval
        if not low <= high:
            found.append(f"{lead} {_signed(each.value)}; too few sessions to say what luck would do.")
            continue
        luck = "more than luck explains" if low > 0.0 or high < 0.0 else "luck alone could do that"
        found.append(f"{lead} {_signed(each.value)} ({_signed(low)} to {_signed(high)}): {luck}.")
    return found


def run_words(case: RunCase) -> str:
    """Return what a run is, in one line."""
    tag = f", {case.run.tag}" if case.run.tag else ""
    span = f"{case.results.first_session} to {case.results.last_session}"
    return f"{money_words(case.run.mode)}, {market_words(case.run.source)}, {span}{tag}"


def market_name(comparison: Comparison) -> str:
    """Return what the benchmark of the first run is called."""
    return benchmark_name(comparison.cases[0].run.source)


def _signed(value: float) -> str:
    """Return two decimal places; nothing is neither plus nor minus."""
    rounded = round(value, 2)
    return f"{rounded:+.2f}" if rounded else "0.00"


class _Part(NamedTuple):
    """A run on the common sessions."""

    returns: Returns
    figures: Figures


def _check(cases: Sequence[RunCase]) -> None:
    if not FEWEST <= len(cases) <= MOST:
        raise FixConfigError(f"compare takes {FEWEST} to {MOST} runs, was given {len(cases)}")
    ids = [case.run.id for case in cases]
    twice = next((run for run in ids if ids.count(run) > 1), None)
    if twice is not None:
        raise FixConfigError(f"run {twice} is named twice: compare different runs")


def _on(case: RunCase, shared: Sequence[date]) -> _Part:
    """Return a run on `shared` sessions; what it had earned before them is its capital there."""
    wanted = set(shared)
    first = next(n for n, day in enumerate(case.days) if day.session in wanted)
    days = [day for day in case.days if day.session in wanted]
    capital = case.run.capital if first == 0 else case.days[first - 1].equity / 100
    closes = closes_of(days)
    return _Part(daily_returns(closes, capital), figures(closes, capital))


def _measured(parts: Sequence[_Part], samples: FigureSamples | None) -> list[FigureLine]:
    lines = [FigureLine("total_return", "return in all", "%", tuple(_total(part) for part in parts))]
    for key, name, unit in RESAMPLED:
        values = tuple(getattr(part.figures, key) for part in parts)
        lines.append(FigureLine(key, name, unit, values, _differences(values, samples, key)))
    for key, name, unit in (("alpha", "alpha a year", "%"), ("avg_exposure", "invested", "%")):
        lines.append(FigureLine(key, name, unit, tuple(getattr(part.figures, key) for part in parts)))
    return lines


def _differences(values: Sequence[float | None], samples: FigureSamples | None, key: str) -> tuple[Difference, ...]:
    base, found = values[0], []
    for n, value in enumerate(values[1:], start=1):
        difference = None if value is None or base is None else value - base
        drawn = None if samples is None else getattr(samples, key)
        gap = Interval(math.nan, math.nan) if drawn is None else interval_of(drawn[:, n] - drawn[:, 0])
        found.append(Difference(difference, gap))
    return tuple(found)


def _counted(cases: Sequence[RunCase]) -> list[FigureLine]:
    """Return what is counted over the whole of each run."""
    results = [case.results for case in cases]
    return [
        FigureLine("final_equity", "equity at the end", "$", tuple(each.final_equity for each in results)),
        FigureLine("costs", "costs", "$", tuple(each.costs.total for each in results)),
        FigureLine("trades", "closed trades", "", tuple(each.trades for each in results)),
        FigureLine("denials", "refused by risk rules", "", tuple(sum(each.denials.values()) for each in results)),
        FigureLine("objections", "objections", "", tuple(len(each.critique) for each in results)),
    ]


def _total(part: _Part) -> float:
    return float(growth(part.returns.own)[-1] - 1.0)


def _facts(case: RunCase) -> dict[str, str]:
    run = case.run
    facts = {
        "market data": run.source,
        "data fingerprint": run.data_hash[:FINGERPRINT],
        "program": run.code_version,
        "seed": str(run.seed),
        "capital": f"{run.capital:,.2f}",
        "first session": case.results.first_session,
        "last session": case.results.last_session,
        "strategies": ", ".join(run.strategies),
        "allocation": ", then ".join(f"{source} ({reason})" if reason else source for source, reason in case.why),
    }
    for table in run.config:
        if table not in NOT_DECIDING:
            facts |= _flat(table, run.config[table])
    return facts


def _flat(name: str, value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for key, part in value.items():
            found |= _flat(f"{name}.{key}", part)
        return found
    return {name: value if isinstance(value, str) else json.dumps(value)}


def _notices(cases: Sequence[RunCase], shared: int) -> list[str]:
    found = []
    spans = {(case.results.first_session, case.results.last_session) for case in cases}
    if len({case.run.source for case in cases}) > 1:
        found.append("The runs traded different markets: what differs is not the settings alone.")
    elif len(spans) == 1 and len({case.run.data_hash for case in cases}) > 1:  # other years are other data
        found.append("The market data changed between the runs: what differs is not the settings alone.")
    if any(len(case.days) != shared for case in cases):
        found.append(
            f"Returns, ratios and falls are of the {shared:,} sessions that all runs share; money and counts are of "
            "each whole run."
        )
    return found
