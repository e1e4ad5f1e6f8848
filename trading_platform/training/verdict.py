"""What a training run says when it is done: one screen, one JSON object, one report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from trading_platform.core.metrics import sharpe_ratio
from trading_platform.evaluation.comparison import ComparisonRow
from trading_platform.reporting.learning_curves import ENDING, write_curves
from trading_platform.reporting.market_words import market_words
from trading_platform.reporting.training_report import Check, CurvePoint, TrainingReport, write_html, write_png
from trading_platform.training import verdict_words
from trading_platform.training.campaign import FINAL, Campaign, Outcome
from trading_platform.training.judging import POLICY, Judgement, comparison, interquartile_mean

HEADS = ("book", "Sharpe", "gain", "95 %", "a year", "deepest fall", "turnover")


def verdict_line(outcome: Outcome) -> str:
    """Return the verdict in plain words."""
    return verdict_words.headline(outcome.judged.decision, outcome.trial, outcome.serving)


def after_the_table(outcome: Outcome) -> list[str]:
    """Return what follows the table: parts of the gain, power, waiting time, what to try."""
    decision = outcome.judged.decision
    lines = [
        verdict_words.parts_line(outcome.parts, decision),
        verdict_words.power(decision, len(outcome.judged.rows)),
        verdict_words.waiting(outcome.trial if outcome.trial is not None else outcome.running),
    ]
    advice = verdict_words.to_try(decision, walked=any(fitted.task.fold != FINAL for fitted in outcome.fits))
    return lines if advice is None else [*lines, advice]


def table(rows: tuple[ComparisonRow, ...]) -> list[list[str]]:
    """Return the comparison as text cells, header first."""
    cells = [list(HEADS)]
    for row in rows:
        gain = "" if math.isnan(row.gain) else f"{row.gain:+.2f}"
        interval = "" if math.isnan(row.gain) else f"{row.gain_low:+.2f}..{row.gain_high:+.2f}"
        cells.append(
            [
                row.name.replace("_", " "),
                f"{row.sharpe:.2f}",
                gain,
                interval,
                f"{100.0 * row.annual_return:+.1f} %",
                f"{100.0 * row.max_drawdown:.1f} %",
                f"{row.annual_turnover:.1f}",
            ]
        )
    return cells


def overfitting_text(outcome: Outcome) -> str:
    """Return the probability that the best of the seeds would be in the worse half afterwards, in words."""
    chosen = outcome.overfitting
    return "no choice (one policy, or too few sessions)" if chosen is None else f"{chosen.probability:.0%}"


def refused_text(outcome: Outcome) -> str:
    """Return in how many judged sessions the policy was not asked, in words."""
    count = round(outcome.refused * len(outcome.judged.rows))
    if not count:
        return "none of the judged states"
    return f"{count} of {len(outcome.judged.rows)} judged states: equal weight was judged there, as it would be served"


def path_name(campaign: Campaign) -> str:
    """Return what the gate's sessions are."""
    return "out of sample, walked forward" if campaign.plan.folds else "purged validation"


def document(campaign: Campaign, outcome: Outcome, seconds: Mapping[str, float], steps: int) -> dict[str, object]:
    """Return the run as one JSON-ready object."""
    gains = list(outcome.seed_gains.values())
    return {
        "model_id": outcome.model_id,
        "admitted": outcome.admitted,
        "promoted": outcome.promoted,
        "verdict": verdict_line(outcome),
        "weights_sha256": outcome.manifest.weights_sha256,
        "data": campaign.data_source,
        "sessions": outcome.manifest.gate["rows"],
        "gate": outcome.judged.decision.to_dict(),
        "trial": None if outcome.trial is None else verdict_words.trial_document(outcome.trial),
        "contributions": [part.to_dict() for part in outcome.contributions],
        "parts": {name: _known(value) for name, value in asdict(outcome.parts).items()},
        "words": after_the_table(outcome),
        "trials": outcome.trials.n_trials,
        "metrics": dict(outcome.manifest.metrics),
        "seed_gains": {str(seed): _known(gain) for seed, gain in outcome.seed_gains.items()},
        "interquartile_mean_gain": _known(interquartile_mean(gains)),
        "overfitting": None if outcome.overfitting is None else outcome.overfitting.probability,
        "refused_states": outcome.refused,
        "at_costs": [{k: _known(v) for k, v in asdict(level).items()} for level in outcome.costs],
        "comparison": [row.to_dict() for row in comparison(outcome.judged, outcome.trials)],
        "held_back": None
        if outcome.held_back is None
        else [row.to_dict() for row in comparison(outcome.held_back, outcome.trials)],
        "setup": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(campaign.arena.setup).items()},
        "steps": steps,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def write_report(campaign: Campaign, outcome: Outcome, folder: Path) -> tuple[Path, Path]:
    """Write the HTML page and the picture; return their paths."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    report = build_report(campaign, outcome)
    page, picture = folder / f"{outcome.model_id}.html", folder / f"{outcome.model_id}.png"
    write_html(report, page)
    write_png(report, picture)
    looks = {name: [(look.episodes, look.gain) for look in points] for name, points in report.curves.items()}
    write_curves(looks, folder / f"{outcome.model_id}{ENDING}")
    return page, picture


def build_report(campaign: Campaign, outcome: Outcome) -> TrainingReport:
    """Return what the report shows."""
    world, judged = campaign.arena.whole, outcome.judged
    rows = judged.rows
    last = [fitted for fitted in outcome.fits if fitted.task.fold == FINAL]
    curves = {
        f"seed {fitted.task.seed}": [CurvePoint(look.episodes, look.score) for look in fitted.result.looks]
        for fitted in last
    }
    setup = campaign.arena.setup
    facts = {
        "data": f"{campaign.data_source}, {outcome.manifest.data_start} to {outcome.manifest.data_end}",
        "judged on": f"{len(rows)} sessions, {world.session(rows.start)} to {world.session(rows.stop - 1)}",
        "seeds": ", ".join(map(str, campaign.seeds)),
        "gain of each seed": ", ".join(f"{gain:+.2f}" for gain in outcome.seed_gains.values()),
        "budget": f"{setup.episodes} episodes of 20 sessions a fit, {len(outcome.fits)} fits",
        "features": ", ".join(outcome.manifest.features),
        "base allocation": _split(world.schema.strategies, outcome.manifest.base_weights),
        "tilt earned": f"{outcome.manifest.action_scale / setup.action_scale:.0%} of scale {setup.action_scale:g}",
        "trials in this registry": str(outcome.trials.n_trials),
        "overfitting if one seed were chosen (PBO)": overfitting_text(outcome),
        "new to the policy": refused_text(outcome),
        "gain at other costs": ", ".join(
            f"{level.sharpe - level.equal_weight:+.2f} at {level.cost_bps:g} bp" for level in outcome.costs
        ),
        "cost": f"{setup.cost_bps:g} bp half-spread and slippage, plus impact and fees",
    }
    facts["where it comes from"], facts["power"], facts["waiting time"], *advice = after_the_table(outcome)
    if advice:
        facts["to try"] = advice[0].removeprefix("To try: ")
    if outcome.held_back is not None:
        facts["gain on the sessions kept back"] = _held_back(campaign, outcome.held_back)
    return TrainingReport(
        title=f"SIMULATED · {market_words(campaign.data_source)} · model {outcome.model_id}",
        verdict=verdict_line(outcome),
        promoted=outcome.admitted,
        facts=facts,
        curves=curves,
        path_name=path_name(campaign),
        sessions=world.sessions[rows.start : rows.stop],
        books={name: path.returns for name, path in judged.paths.items()},
        strategies=world.schema.strategies,
        weights=judged.paths[POLICY].weights,
        regimes=world.regimes[rows.start : rows.stop],
        checks=[
            Check(str(reason.code), reason.observed, reason.threshold, reason.passed)
            for reason in judged.decision.reasons
        ],
        table=table(comparison(judged, outcome.trials)),
        parts=verdict_words.parts_table(outcome.contributions),
        parts_words=verdict_words.PARTS_WORDS,
    )


def _split(names: tuple[str, ...], weights: tuple[float, ...]) -> str:
    return ", ".join(f"{name} {100.0 * weight:.0f} %" for name, weight in zip(names, weights, strict=True))


def _held_back(campaign: Campaign, judged: Judgement) -> str:
    world, rows = campaign.arena.whole, judged.rows
    mine = sharpe_ratio(judged.paths[POLICY].returns)
    return f"{judged.gain:+.2f} (Sharpe {mine:.2f}), {world.session(rows.start)} to {world.session(rows.stop - 1)}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
