"""``train_rl_model.py models``: look after the registry, and after the trial that challengers stand in service."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trading_platform.core.errors import FixConfigError, RetrainModelError
from trading_platform.machine.clocks import utc_now

if TYPE_CHECKING:
    from trading_platform.core.prepare import PreparedMarket
    from trading_platform.evaluation.service_trial import Trial
    from trading_platform.storage.model_registry import ModelRegistry

models = typer.Typer(no_args_is_help=True, help="Look after the registry of models.")

ModelsDir = Annotated[
    Path | None, typer.Option(help="Registry of models; default RL_MODELS_DIR, [allocator] models_dir, rl_models.")
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]
SHOWN_EVENTS = 5


@models.command("list")
def list_models(models_dir: ModelsDir = None, as_json: Json = False) -> None:
    """List all models, oldest first; * marks the champion, t the challenger that stands trial."""
    registry = _registry(models_dir)
    champion, trial = registry.champion(), _trial(registry)
    standing = {entry.model_id for entry in trial.entries} if trial is not None and trial.state == "running" else set()
    rows = []
    for model_id in registry.model_ids():
        problem = registry.verify(model_id)
        manifest = None if problem else registry.manifest(model_id)
        rows.append(
            {
                "model_id": model_id,
                "champion": champion is not None and champion.model_id == model_id,
                "on_trial": model_id in standing,
                "usable": problem is None,
                "gate_passed": None if manifest is None else manifest.promoted_by_gate,
                "data_end": None if manifest is None else manifest.data_end,
                "gain": None if manifest is None else manifest.metrics.get("gain"),
                "problem": problem,
            }
        )
    if as_json:
        print(json.dumps(rows))  # noqa: T201 - the command's output
        return
    for row in rows:
        mark = "*" if row["champion"] else "t" if row["on_trial"] else " "
        print(f"{mark} {row['model_id']}  {row['problem'] or _described(row)}")  # noqa: T201 - the command's output
    if not rows:
        print(f"no models in {registry.folder}; train one with: python train_rl_model.py")  # noqa: T201


def _described(row: Mapping[str, object]) -> str:
    """Return what the list says of a usable model."""
    gain = row["gain"]
    told = f", gain {gain:+.2f}" if isinstance(gain, int | float) else ""
    return f"data to {row['data_end']}{told}, {'passed' if row['gate_passed'] else 'refused'}"


@models.command()
def show(model_id: str, models_dir: ModelsDir = None) -> None:
    """Print a model's manifest."""
    print(_registry(models_dir).manifest(model_id).to_json(), end="")  # noqa: T201 - the command's output


@models.command()
def verify(model_id: Annotated[str | None, typer.Argument()] = None, models_dir: ModelsDir = None) -> None:
    """Check every file of one model, or of all, the champion pointer and the trial."""
    registry = _registry(models_dir)
    champion = registry.champion()
    ids = [model_id] if model_id else [*registry.model_ids(), *([champion.model_id] if champion else [])]
    problems = {name: problem for name in dict.fromkeys(ids) if (problem := registry.verify(name))}
    for name in dict.fromkeys(ids):
        print(f"{name}: {problems.get(name, 'ok')}")  # noqa: T201 - the command's output
    if model_id is None:
        _trial(registry)  # raises what is wrong with it
    raise typer.Exit(RetrainModelError.exit_code if problems else 0)


@models.command()
def promote(
    model_id: str,
    reason: Reason,
    models_dir: ModelsDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a model the champion by hand, whatever the gate and its trial say. A terminal is asked first."""
    from trading_platform.training.service import settle

    registry = _registry(models_dir)
    manifest = registry.manifest(model_id)
    if not yes and sys.stdin.isatty():
        trial = _trial(registry)
        proven = "the gate admitted it" if manifest.promoted_by_gate else "the gate refused it"
        if trial is not None and trial.challenger == model_id:
            proven += f", its trial stands at {trial.wealth:.2f} of 20"
        if not typer.confirm(f"{model_id}: {proven}. Let it serve?"):
            raise typer.Exit(1)
    champion = registry.promote(model_id, utc_now(), reason)
    settle(registry, utc_now())
    print(f"champion: {champion.model_id}")  # noqa: T201 - the command's output
    if not manifest.promoted_by_gate:  # a script is not asked, but told
        print(f"WARNING: the gate refused {model_id}; `models rollback` takes it back", file=sys.stderr)  # noqa: T201


@models.command()
def rollback(reason: Reason, models_dir: ModelsDir = None) -> None:
    """Let the previous champion serve again."""
    from trading_platform.training.service import settle

    registry = _registry(models_dir)
    champion = registry.rollback(utc_now(), reason)
    settle(registry, utc_now())
    print(f"champion: {champion.model_id if champion else 'none, equal weight is served'}")  # noqa: T201


@models.command()
def trial(
    update: Annotated[bool, typer.Option("--update", help="Feed it with the sessions since; then show.")] = False,
    data_dir: Annotated[
        list[Path] | None, typer.Option(help="Folder of bars; repeatable: the first that has a ticker gives it.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="synthetic, files, alpaca or yahoo.")] = None,
    tickers: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last session to look at.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file; trading.toml is taken if it exists.")] = None,
    models_dir: ModelsDir = None,
    as_json: Json = False,
) -> None:
    """Show the trial in service: wealth, sessions, what is missing, the waiting time to expect.

    ``--update`` is the job after each close: it bets on the sessions that came since, once each, however often it runs.
    Options that say which sessions are refused without it.
    """
    from trading_platform.training import service, verdict_words

    if not update and (data_dir or source or tickers or end):
        raise FixConfigError("--data-dir, --source, --tickers and --end feed the trial: add --update")
    registry, now = _registry(models_dir, config), utc_now()
    found = service.settle(registry, now)
    if update and found is not None:
        overrides = {
            "data.source": source or ("files" if data_dir else None),
            "data.folder": tuple(str(folder) for folder in data_dir) if data_dir else None,
            "universe.tickers": tuple(tickers.split(",")) if tickers else None,
        }
        world, cost_bps = _market(registry, found.challenger, config, overrides, end)
        found = service.update(registry, world, cost_bps, now)
    if as_json:
        print(json.dumps(None if found is None else verdict_words.trial_document(found)))  # noqa: T201
        return
    for line in _lines(found, registry.folder):
        print(line)  # noqa: T201 - the command's output


def _lines(trial: Trial | None, models_dir: Path) -> list[str]:
    from trading_platform.training import verdict_words

    if trial is None:
        return [f"no trial in {models_dir}: nothing was admitted yet", verdict_words.waiting(None)]
    unknown = f", {trial.unknown} could not be bet on" if trial.unknown else ""
    return [
        f"trial {trial.number} for {trial.objective}, {trial.state}: {trial.challenger} against "
        f"{trial.serving or 'equal weight'}",
        f"wealth {trial.wealth:.3f}, {trial.sums.sessions} sessions from {trial.began} to {trial.fed}{unknown}",
        f"missing: {verdict_words.missing(trial)}",
        verdict_words.waiting(trial),
        *trial.events[-SHOWN_EVENTS:],
    ]


def _market(
    registry: ModelRegistry, challenger: str, config: Path | None, overrides: Mapping[str, object], end: datetime | None
) -> tuple[PreparedMarket, float]:
    """Return the market that the settings name, prepared as for the challenger, and its costs in basis points."""
    from trading_platform.market_data.load_panel import load_panel
    from trading_platform.market_data.providers import exchange_calendar
    from trading_platform.training.preparation import prepare_arena
    from trading_platform.training.run_settings import read_rules
    from trading_platform.training.setup import TrainingSetup

    settings, rules, trading = read_rules(config, overrides)
    cost_bps = registry.manifest(challenger).training.get("cost_bps")
    setup = TrainingSetup(n_universes=0)
    if isinstance(cost_bps, int | float):
        setup = replace(setup, cost_bps=float(cost_bps))
    calendar = exchange_calendar(trading.data)
    panel = load_panel(trading, settings, calendar, None, None if end is None else end.date())
    arena = prepare_arena(panel, setup, trading, settings, rules, calendar, _no_environment)
    return arena.whole, setup.cost_bps


def _no_environment(*_: object) -> object:
    raise AssertionError("the daily job trains nothing")


def _registry(named: Path | None, config: Path | None = None) -> ModelRegistry:
    from trading_platform.storage.model_registry import ModelRegistry
    from trading_platform.training.run_settings import registry_folder

    return ModelRegistry(registry_folder(named, config))


def _trial(registry: ModelRegistry) -> Trial | None:
    from trading_platform.storage.trial_file import TrialFile

    return TrialFile(registry.folder).read()
