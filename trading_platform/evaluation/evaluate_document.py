"""What `evaluate` tells: one document of plain values, and the same as a table for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.realistic_fills import REALISTIC
from trading_platform.core.types import Floats
from trading_platform.core.unused_capital import Unused
from trading_platform.evaluation.book_statistics import (
    BookFigures,
    SharpeSummary,
    book_figures,
    same_beta,
    sharpe_gain,
    sharpe_summary,
    sixty_forty,
)
from trading_platform.evaluation.evaluate import EvaluateSettings, UniverseRun, Yardsticks, mean_of
from trading_platform.evaluation.lifted_rules import lost_by_cause

# 2: lost_to, not_invested_because, not_invested_share, per_universe; 3: market and currency, which the command adds
SCHEMA_VERSION = 3
UNKNOWN = "-"
SINGLE_FIGURES = ("sharpe_plain", "annual_return", "excess_return", "volatility", "beta", "alpha", "alpha_t")

Document = dict[str, Any]  # JSON: keys are those of the issue, values numbers, texts, lists and tables of these


def document(yardsticks: Yardsticks, runs: Sequence[UniverseRun], settings: EvaluateSettings) -> Document:
    """Return the JSON-ready document of judged universes; unknown numbers are None.

    Intervals are 95 % of a circular block bootstrap over time that keeps universes together, drawn from the settings'
    seed. Single numbers are means over universes.
    """
    rng = np.random.default_rng([settings.seed, settings.universes])
    bills = yardsticks.bills
    book, equal = _excess([run.run.returns for run in runs], bills), _excess([run.equal_weight for run in runs], bills)
    paper = [run.paper.returns for run in runs if run.paper is not None]
    realistic = [run.run.realistic for run in runs if run.run.realistic is not None]
    result: Document = {
        "schema_version": SCHEMA_VERSION,
        "universes": len(runs),
        "universe_size": settings.universe_size,
        "start": str(yardsticks.sessions[0]),
        "end": str(yardsticks.sessions[-1]),
        "sessions": len(yardsticks.sessions),
        "cost_bps": settings.cost_bps,
        "fill_model": settings.fills,
        "seed": settings.seed,
        "trials": settings.n_trials,
        "sharpe": sharpe_summary(book, rng).to_dict(),
        "sharpe_realistic": _paired(realistic, bills, settings),
        "paper_form": sharpe_summary(_excess(paper, bills), rng).to_dict() if paper else None,
        "equal_weight_universe": sharpe_summary(equal, rng).to_dict(),
        "benchmark": sharpe_summary(_excess([yardsticks.benchmark], bills), rng).to_dict(),
        "gain_over_equal_weight_universe": _gain(sharpe_gain(book, equal, rng)),
        "allocation_gain": _allocation_gain(runs, bills, settings),
        "max_drawdown": mean_of([run.figures.max_drawdown for run in runs]),
        "worst_drawdown": max(run.figures.max_drawdown for run in runs),
        "avg_exposure": mean_of([run.exposure for run in runs]),
        "avg_exposure_calm": mean_of([run.exposure_calm for run in runs]),
        **{name: mean_of([getattr(run.figures, name) for run in runs]) for name in SINGLE_FIGURES},
        "stopped_for_good": sum(run.run.stopped_for_good for run in runs),
        "sharpe_if_ended_lost_30": mean_of([run.run.sharpe_if_ended_lost_30 for run in runs]),
        "costs": _mean_table([run.run.costs for run in runs]),
        "per_strategy": _per_strategy(runs),
        "per_universe": [_universe(run, bills) for run in runs],
        "correlation": _correlation(runs),
        "comparisons": _comparisons(yardsticks, runs),
        "notes": _notes(yardsticks, runs),
    }
    result["kept_of_paper_form"] = _kept(result)
    result["lost_to"] = _lost(runs, bills)
    result |= _unused(runs)
    cleaned: Document = _plain(result)
    return cleaned


def table(result: Document) -> str:
    """Return the document as lines for a terminal."""
    fills = "realistic fills, " if result["fill_model"] == REALISTIC else ""
    lines = [
        f"{result['universes']} universes of {result['universe_size']} stocks, {result['start']} to {result['end']}, "
        f"{result['cost_bps']:g} bp one way, {fills}seed {result['seed']}; trials {result['trials']}",
        "",
        f"{'Sharpe ratio over bills':28s} {'mean':>6s} {'sd':>6s} {'95 % interval':>16s}",
    ]
    rows = {
        "this book": "sharpe",
        "  with realistic fills": "sharpe_realistic",
        "  on paper": "paper_form",
        "equal-weight universe": "equal_weight_universe",
        "benchmark": "benchmark",
        "gain over equal weight": "gain_over_equal_weight_universe",
    }
    lines += [_summary_line(label, result[key]) for label, key in rows.items() if result[key]]
    if result["allocation_gain"]:
        words = {"gain": "split against equal weight", "tilt": "  its average, held still", "timing": "  its timing"}
        lines += [_summary_line(label, result["allocation_gain"][key]) for key, label in words.items()]
    lines += ["", *_figure_lines(result), *_cause_lines(result), "", *_comparison_lines(result)]
    lines += ["", *_strategy_lines(result)]
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])


def _excess(returns: Sequence[Floats], bills: Floats) -> Floats:
    return np.stack(returns, axis=1) - bills[:, None]


def _paired(returns: Sequence[Floats], bills: Floats, settings: EvaluateSettings) -> dict[str, float | None] | None:
    """Return the summary of another run of the book, over the blocks of time that the book's own interval is from."""
    if not returns:
        return None
    rng = np.random.default_rng([settings.seed, settings.universes])
    return sharpe_summary(_excess(returns, bills), rng).to_dict()


def _allocation_gain(runs: Sequence[UniverseRun], bills: Floats, settings: EvaluateSettings) -> Document | None:
    """Return what the split of capital gains over equal weight of the sleeves: all of it, tilt, and timing.

    Tilt is what the policy's average weights, held still, gain over equal weight; timing the policy over those.
    """
    equal = [run.run.at_equal_weight for run in runs if run.run.at_equal_weight is not None]
    still = [run.run.at_average_weights for run in runs if run.run.at_average_weights is not None]
    if len(equal) != len(runs) or len(still) != len(runs):
        return None
    book = _excess([run.run.returns for run in runs], bills)
    base, average = _excess(equal, bills), _excess(still, bills)
    pairs = {"gain": (book, base), "tilt": (average, base), "timing": (book, average)}
    # One generator each: all three from the same blocks of time.
    return {
        name: _gain(sharpe_gain(*pair, np.random.default_rng([settings.seed, settings.universes])))
        for name, pair in pairs.items()
    }


def _gain(summary: SharpeSummary) -> dict[str, float | None]:
    return {name: value for name, value in summary.to_dict().items() if name != "sd"}


def _mean_table(tables: Sequence[Any]) -> dict[str, float]:
    names = dict.fromkeys(name for item in tables for name in item)
    return {name: float(np.mean([item.get(name, 0.0) for item in tables])) for name in names}


def _per_strategy(runs: Sequence[UniverseRun]) -> Document:
    """Return by strategy: its own book on paper, what the machine traded of it, and why it stood aside."""
    result: Document = {}
    for name in runs[0].stands_aside:
        sides = [run.paper for run in runs if run.paper is not None and not run.stands_aside[name]]
        result[name] = {
            "paper_sharpe": mean_of([side.figures[name].sharpe for side in sides]),
            "paper_beta": mean_of([side.figures[name].beta for side in sides]),
            "paper_turnover": mean_of([side.turnover[name] for side in sides]),
            "paper_exposure": mean_of([side.exposure[name] for side in sides]),
            "fills": mean_of([run.run.fills.get(name, 0) for run in runs]),
            "profit": mean_of([run.run.profit.get(name, 0.0) for run in runs]),
            "stands_aside": runs[0].stands_aside[name],
        }
    return result


def _universe(run: UniverseRun, bills: Floats) -> Document:
    paper = math.nan if run.paper is None else sharpe_ratio(run.paper.returns - bills)
    return {
        "number": run.number,
        "sharpe": run.figures.sharpe,
        "paper_sharpe": paper,
        "max_drawdown": run.figures.max_drawdown,
        "exposure": run.exposure,
    }


def _correlation(runs: Sequence[UniverseRun]) -> Document:
    sides = [run.paper for run in runs if run.paper is not None]
    return {
        "raw": mean_of([side.correlation for side in sides]),
        "market_residual": mean_of([side.residual_correlation for side in sides]),
    }


def _comparisons(yardsticks: Yardsticks, runs: Sequence[UniverseRun]) -> list[Document]:
    """Return the figures of what anybody could have held instead, the book itself first."""
    bills, benchmark = yardsticks.bills, yardsticks.benchmark
    beta = mean_of([run.figures.beta for run in runs])
    held: dict[str, Sequence[Floats]] = {
        "this book": [run.run.returns for run in runs],
        "bills": [bills],
        "benchmark": [benchmark],
        "benchmark at the same beta": [same_beta(benchmark, bills, beta if math.isfinite(beta) else 0.0)],
        "equal-weight universe": [run.equal_weight for run in runs],
    }
    equal = [run.run.at_equal_weight for run in runs if run.run.at_equal_weight is not None]
    if equal:
        held["sleeves at equal weight"] = equal
    if yardsticks.bonds is not None:
        held[f"60/40 ({yardsticks.bond_fund})"] = [sixty_forty(benchmark, yardsticks.bonds, bills)]
    return [
        {"name": name, **_mean_figures([book_figures(returns, bills, benchmark) for returns in books])}
        for name, books in held.items()
    ]


def _mean_figures(figures: Sequence[BookFigures]) -> dict[str, float]:
    names = ("sharpe", *SINGLE_FIGURES, "max_drawdown")
    return {name: mean_of([getattr(item, name) for item in figures]) for name in names}


def _notes(yardsticks: Yardsticks, runs: Sequence[UniverseRun]) -> list[str]:
    notes = [f"{name} stands aside: it {why}" for name, why in runs[0].stands_aside.items() if why]
    if runs[0].paper is None:
        notes.append("no paper form: a strategy of entries and exits has no target weights")
    if yardsticks.bonds is None:
        notes.append("60/40 is left out: neither AGG nor IEF is in the data")
    elif not np.isfinite(yardsticks.bonds).all():
        notes.append(f"60/40 holds bills until {yardsticks.bond_fund} trades")
    if not yardsticks.bills.any():
        notes.append("no bill rate in the data: ratios are over zero")
    stopped = sum(run.run.stopped_for_good for run in runs)
    if stopped:
        notes.append(f"stopped for good in {stopped} of {len(runs)} universes: flat, in bills, to the end")
    return notes


def _kept(result: Document) -> float:
    """Return what part of the paper form's ratio the machine keeps; NaN where there is none worth keeping."""
    paper = (result["paper_form"] or {}).get("mean")
    return result["sharpe"]["mean"] / paper if paper and paper > 0.0 and result["sharpe"]["mean"] else math.nan


def _lost(runs: Sequence[UniverseRun], bills: Floats) -> Document | None:
    """Return by cause what the book has less than its paper form, in Sharpe ratio; None where it was not run."""
    told = [
        lost_by_cause(
            run.figures.sharpe,
            [(cause, sharpe_ratio(returns - bills)) for cause, returns in run.run.lifted.items()],
            sharpe_ratio(run.paper.returns - bills),
        )
        for run in runs
        if run.paper is not None and run.run.lifted
    ]
    return {name: mean_of([item[name] for item in told]) for name in told[0]} if told else None


def _unused(runs: Sequence[UniverseRun]) -> Document:
    """Return what decisions left in cash by cause: dollars a session on average, and as shares of equity."""
    dollars = [run.run.unused.mean(axis=0) for run in runs if run.run.unused is not None]
    shares = [
        (run.run.unused / run.run.equity[:, None]).mean(axis=0)
        for run in runs
        if run.run.unused is not None and run.run.equity is not None
    ]
    return {
        "not_invested_because": _by_cause(dollars),
        "not_invested_share": _by_cause(shares),
    }


def _by_cause(values: Sequence[Floats]) -> Document | None:
    if not values:
        return None
    return dict(zip(Unused._fields, np.mean(values, axis=0).tolist(), strict=True))


def _plain(value: Any) -> Any:
    """Return `value` with unknown numbers as None, ready for JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _summary_line(label: str, summary: Document) -> str:
    interval = f"[{_number(summary['low'])}, {_number(summary['high'])}]"
    return f"{label:28s} {_number(summary['mean']):>6s} {_number(summary.get('sd')):>6s} {interval:>16s}"


def _figure_lines(result: Document) -> list[str]:
    shown: dict[str, Callable[[float | None], str]] = {
        "excess_return": _percent,
        "volatility": _percent,
        "max_drawdown": _percent,
        "avg_exposure": _percent,
        "avg_exposure_calm": _percent,
        "beta": _number,
        "alpha": _percent,
        "alpha_t": _number,
        "kept_of_paper_form": _percent,
        "sharpe_if_ended_lost_30": _number,
    }
    lines = [f"{name.replace('_', ' '):28s} {form(result[name]):>6s}" for name, form in shown.items()]
    return [*lines, f"{'stopped for good':28s} {result['stopped_for_good']:>6d} of {result['universes']}"]


def _cause_lines(result: Document) -> list[str]:
    """Return what the machine loses against its paper form, and what it leaves in cash, each by cause in one line."""
    lines = []
    if result["lost_to"] is not None:
        causes = ", ".join(f"{name} {value:+.2f}" for name, value in result["lost_to"].items() if value is not None)
        lines.append(f"{'lost of the paper form to':28s} {causes}")
    if result["not_invested_share"] is not None:
        shares = result["not_invested_share"].items()
        causes = ", ".join(f"{name.replace('_', ' ')} {_percent(value)}" for name, value in shares)
        lines.append(f"{'not invested because of':28s} {causes}")
    return lines


def _comparison_lines(result: Document) -> list[str]:
    head = f"{'beside':28s} {'Sharpe':>6s} {'return':>8s} {'volat.':>8s} {'fall':>8s} {'beta':>6s}"
    return [head] + [
        f"{row['name']:28s} {_number(row['sharpe']):>6s} {_percent(row['annual_return']):>8s} "
        f"{_percent(row['volatility']):>8s} {_percent(row['max_drawdown']):>8s} {_number(row['beta']):>6s}"
        for row in result["comparisons"]
    ]


def _strategy_lines(result: Document) -> list[str]:
    head = f"{'strategy':28s} {'paper':>6s} {'turnover':>8s} {'invested':>8s} {'fills':>8s} {'profit $':>10s}"
    lines = [
        f"{name:28s} {_number(row['paper_sharpe']):>6s} {_number(row['paper_turnover']):>8s} "
        f"{_percent(row['paper_exposure']):>8s} {_number(row['fills'], 0):>8s} {_number(row['profit'], 0):>10s}"
        for name, row in result["per_strategy"].items()
    ]
    correlation = result["correlation"]
    pairs = f"{_number(correlation['raw'])}, after the market {_number(correlation['market_residual'])}"
    return [head, *lines, f"mean correlation of two strategies {pairs}"]


def _number(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100.0 * value:.1f} %"
