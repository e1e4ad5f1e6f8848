"""Train a capital allocator, prove it, and let it serve only if the proof holds.

``python train_rl_model.py --episodes 1000 --eval-freq 100`` trains on the embedded market. ``--help`` has the rest;
``models list | show | verify | promote | rollback | trial`` looks after what was trained.

Exit codes: 0 trained and admitted to a trial in service, or promoted; 10 refused by the gate (not an error: what served
before serves on),
1 failed, 2 wrong option or setting, 6 market data unusable, 8 a model file is unusable, 130 stopped by Ctrl-C (nothing
was registered; the same command continues).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# One thread a process: the networks are tiny, and sums in another order would be other bits. Before torch starts.
os.environ["OMP_NUM_THREADS"] = "1"

if __name__ == "__main__":
    from trading_platform.machine.packages import check_at_start
    from trading_platform.machine.stop_signals import silent_until_started

    silent_until_started()
    check_at_start()

import typer

from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.standard_streams import open_closed_streams
from trading_platform.machine.stop_signals import leave, started, stop_always_heard
from trading_platform.training.model_commands import Json, ModelsDir, models

if TYPE_CHECKING:
    from trading_platform.configuration.environment import Settings
    from trading_platform.configuration.trading_config import TradingConfig
    from trading_platform.core.session import Rules
    from trading_platform.training.campaign import Campaign, Outcome
    from trading_platform.training.preparation import RunOptions
    from trading_platform.training.progress import Screen
    from trading_platform.training.setup import TrainingSetup

ADMITTED, REFUSED, FAILED, INTERRUPTED = 0, 10, 1, 130
EXPORTED_FILES = 3  # arrays, description, and a graph where onnx is installed
STOPPED_EARLY = "Stopped before anything was trained; nothing has changed."

Cluster = Annotated[str, typer.Option(help="Ray cluster to spread over: ray://HOST:PORT, HOST:PORT, or auto.")]

app = typer.Typer(add_completion=False, no_args_is_help=False, rich_markup_mode=None, help=__doc__)
app.add_typer(models, name="models")


@app.callback(invoke_without_command=True)
def train(
    context: typer.Context,
    episodes: Annotated[int, typer.Option(min=1, help="Budget of one fit; an episode is 20 sessions.")] = 16_000,
    eval_freq: Annotated[int, typer.Option(min=1, help="Episodes between looks at the validation slice.")] = 1_600,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Fits with different seeds, averaged; default 3, a short run 1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that folds and seeds are spread over.")] = 1,
    cluster: Cluster = "",
    data_dir: Annotated[
        list[Path] | None, typer.Option(help="Folder of bars; repeatable: the first that has a ticker gives it.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="synthetic, files, alpaca or yahoo.")] = None,
    tickers: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last session to look at.")] = None,
    walk_forward: Annotated[
        str | None, typer.Option(help="yearly (train to N, test on N + 1) or rolling: judge on the walked path.")
    ] = None,
    train_years: Annotated[
        int | None, typer.Option(min=1, help="Train on so many years; default all, rolling 2.")
    ] = None,
    test_sessions: Annotated[int, typer.Option(min=0, help="Newest sessions kept back for the report.")] = 252,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Weekly job: your last two years beside the pool.")
    ] = False,
    algo: Annotated[str | None, typer.Option(help="ppo, a2c, sac, or gradient: the yardstick, in seconds.")] = None,
    reward: Annotated[
        str | None, typer.Option(help="utility, sharpe_difference, mean_variance or sharpe; default: the objective's.")
    ] = None,
    net: Annotated[str | None, typer.Option(help="Hidden units a layer, such as 16 or 32,32; default linear.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the policy for other programs, too: FILE.npz.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's curves.")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="Training option name=value; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto; the update is small, so cpu is fast.")] = "cpu",
    config: Annotated[Path | None, typer.Option(help="Settings file; trading.toml is taken if it exists.")] = None,
    models_dir: ModelsDir = None,
    report: Annotated[bool, typer.Option(help="Write the HTML and PNG report.")] = True,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train, judge, and let it stand trial in service if the gate lets it through."""
    if context.invoked_subcommand is not None:
        return
    since = time.perf_counter()
    overrides = {
        "data.source": source or ("files" if data_dir else None),
        "data.folder": tuple(str(folder) for folder in data_dir) if data_dir else None,
        "universe.tickers": tuple(tickers.split(",")) if tickers else None,
    }
    with told_of_a_stop():
        from trading_platform.machine.packages import require
        from trading_platform.training.export import check_export_path, write_export
        from trading_platform.training.packages import check_packages
        from trading_platform.training.preparation import RunOptions
        from trading_platform.training.progress import Screen
        from trading_platform.training.setup_options import make_setup
        from trading_platform.work.job import Place

        setup = make_setup(episodes, eval_freq, option or [], {"algo": algo, "reward": reward, "net": net})
        check_packages(setup.algo, tensorboard is not None)
        check_export_path(export, setup.on_rules)
        if report:
            require(["matplotlib"], "the report of a training (--no-report does without)")
        if device not in ("cpu", "cuda", "auto"):
            raise FixConfigError(f"--device must be cpu, cuda or auto, was {device!r}")
        if walk_forward not in (None, "yearly", "rolling"):
            raise FixConfigError(f"--walk-forward must be yearly or rolling, was {walk_forward!r}")
        if walk_forward and retrain:
            raise FixConfigError("--retrain trains on the last two years only; leave --walk-forward out")
        from trading_platform.training.run_settings import read_rules

        settings, rules, trading = read_rules(config, overrides)
        folder = Path(trading.allocator.models_dir) if models_dir is None else models_dir
        options = RunOptions(
            scheme=walk_forward or "single",
            train_years=train_years if walk_forward != "rolling" else train_years or 2,
            test_sessions=test_sessions,
            retrain=retrain,
            seeds=tuple(range(seed, seed + (seeds or setup.usual_seeds))),
            jobs=jobs,
            models_dir=folder,
            device=device,
            resume=True,
            end=None if end is None else end.date(),
            curves=tensorboard,
            cluster=Place(jobs, cluster).cluster,
        )
        campaign = make_campaign(options, setup, trading, rules, settings)
    prepared = time.perf_counter()
    screen = Screen(campaign, silent=quiet or as_json)
    outcome = run(campaign, screen)
    fitted = time.perf_counter()
    paths = write_reports(campaign, outcome, folder) if report else None
    exported = () if export is None else write_export(export, campaign.registry.load(outcome.model_id))
    seconds = {"prepare": prepared - since, "train": fitted - prepared, "report": time.perf_counter() - fitted}
    say(campaign, outcome, seconds, paths, exported, as_json, quiet)
    raise typer.Exit(ADMITTED if outcome.admitted else REFUSED)


@contextmanager
def told_of_a_stop() -> Iterator[None]:
    """Say that nothing was begun where Ctrl-C comes before the training; typer would end without a word."""
    try:
        with stop_always_heard(lambda: STOPPED_EARLY):
            yield
    except KeyboardInterrupt:
        print(STOPPED_EARLY, file=sys.stderr)  # noqa: T201
        raise typer.Exit(INTERRUPTED) from None


def make_campaign(
    options: RunOptions, setup: TrainingSetup, config: TradingConfig, rules: Rules, settings: Settings
) -> Campaign:
    """Load the market and plan the run."""
    from risk_config import RiskConfig
    from rl_environment import BatchedAllocEnv
    from trading_platform.training.preparation import prepare_campaign

    fingerprint = RiskConfig.from_mapping(config.risk).fingerprint
    return prepare_campaign(options, setup, config, settings, rules, fingerprint, BatchedAllocEnv, utc_now())


def run(campaign: Campaign, screen: Screen) -> Outcome:
    """Run the campaign; Ctrl-C leaves the registry as it was and keeps the checkpoints."""
    from trading_platform.training.campaign import run_campaign
    from trading_platform.training.contributions import contributions

    try:
        with screen, stop_always_heard(screen.stopped):
            outcome = run_campaign(campaign, screen.look)
            outcome = replace(outcome, contributions=contributions(campaign, outcome.fits, outcome.judged))
    except KeyboardInterrupt:
        raise typer.Exit(screen.interrupted()) from None
    shutil.rmtree(campaign.run_folder, ignore_errors=True)
    return outcome


def write_reports(campaign: Campaign, outcome: Outcome, models_dir: Path) -> tuple[Path, Path]:
    """Write page and picture beside the models."""
    from trading_platform.training.verdict import write_report

    return write_report(campaign, outcome, models_dir / "reports")


def say(
    campaign: Campaign,
    outcome: Outcome,
    seconds: dict[str, float],
    paths: tuple[Path, Path] | None,
    exported: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the verdict as one screen or as one JSON object."""
    from trading_platform.training import verdict
    from trading_platform.training.judging import comparison
    from trading_platform.training.verdict_words import PARTS_WORDS, parts_table

    steps = sum(fitted.result.steps for fitted in outcome.fits)
    if as_json:
        document = verdict.document(campaign, outcome, seconds, steps)
        document["report"] = None if paths is None else [str(path) for path in paths]
        document["exported"] = [str(path) for path in exported]
        print(json.dumps(document, allow_nan=False))  # noqa: T201 - the command's output
        return
    if quiet:
        return
    from rich.box import SIMPLE_HEAD  # narrow enough for 80 columns
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(verdict.verdict_line(outcome), style="bold green" if outcome.admitted else "bold yellow")
    rows = outcome.judged.rows
    world = campaign.arena.whole
    span = f"{world.session(rows.start)} to {world.session(rows.stop - 1)}"
    title = f"the whole market, {verdict.path_name(campaign)}, {span}, after costs"
    universes = outcome.judged.decision.n_universes
    for head, cells in (
        (title, verdict.table(comparison(outcome.judged, outcome.trials))),
        (f"each part over {universes} universe{'s' if universes > 1 else ''}", parts_table(outcome.contributions)),
    ):
        shown = Table(title=head, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
        for number, name in enumerate(cells[0]):
            shown.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
        for line in cells[1:]:
            shown.add_row(*line, style="bold" if line[0] == "policy" or line[0].endswith("*") else None)
        console.print(shown, "")
    console.print(PARTS_WORDS)
    if outcome.held_back is not None:
        kept = f"{outcome.held_back.gain:+.2f} over the newest {len(outcome.held_back.rows)} sessions, one path"
        console.print(f"kept back and not part of the verdict: gain {kept}")
    gains = ", ".join(f"{seed}: {gain:+.2f}" for seed, gain in outcome.seed_gains.items())
    console.print(f"seeds: {gains}; overfitting if the best were chosen: {verdict.overfitting_text(outcome)}")
    console.print(f"new to the policy: {verdict.refused_text(outcome)}")
    rate = steps / max(seconds["train"], 1e-9)
    console.print(
        f"{steps:,} steps in {seconds['train']:.1f} s ({rate:,.0f}/s); prepared in {seconds['prepare']:.1f} s"
    )
    for words in verdict.after_the_table(outcome):
        console.print(words)
    if paths is not None:
        console.print(f"report: {paths[0]}")
    if exported:
        without = "" if len(exported) == EXPORTED_FILES else "; no .onnx: pip install onnx"
        console.print(
            f"exported: {', '.join(path.name for path in exported)} in {exported[0].resolve().parent}{without}"
        )


@app.command()
def controls(
    worlds: Annotated[int, typer.Option(min=1, help="Worlds of each kind.")] = 50,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    algo: Annotated[
        str, typer.Option(help="The learner: ppo, as by default, or gradient, in a second a world.")
    ] = "ppo",
    data_dir: Annotated[list[Path] | None, typer.Option(help="Shuffle the books of these bars instead.")] = None,
    state: Annotated[Path, typer.Option(help="Results are added up here, over runs.")] = Path(".rl-controls.jsonl"),
    jobs: Annotated[int, typer.Option(min=1)] = 1,
    cluster: Cluster = "",
    write: Annotated[Path | None, typer.Option(help="Page to write the table into.")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="Training option name=value.")] = None,
) -> None:
    """Train where the truth is planted: is it found, and is what is not there refused? Goes on where it was stopped."""
    from trading_platform.training.control_run import control_market, run_controls, write_page
    from trading_platform.training.controls import table
    from trading_platform.training.packages import check_packages
    from trading_platform.training.run_settings import read_rules
    from trading_platform.training.setup import TrainingSetup
    from trading_platform.training.setup_options import make_setup
    from trading_platform.work.job import Place

    default = TrainingSetup()
    setup = make_setup(default.episodes, default.eval_freq, option or [], {"algo": algo})
    check_packages(setup.algo, with_curves=False)
    folders = tuple(str(folder) for folder in data_dir) if data_dir else None
    settings, rules, trading = read_rules(
        None, {"data.source": "files" if folders else "synthetic", "data.folder": folders}
    )
    market = control_market(trading, settings, rules, setup)
    results = run_controls(market, setup, range(first_seed, first_seed + worlds), state, Place(jobs, cluster), print)
    if write is not None:
        write_page(write, results)
    print("\n".join(table(results)))  # noqa: T201 - the command's output


def main() -> int:
    """Run the command line; every failure is one message and its exit code."""
    open_closed_streams()
    started()
    try:
        return int(app(standalone_mode=False) or 0)
    except TradingPlatformError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one place where a failure is said
        return error.exit_code
    except KeyboardInterrupt:
        print(STOPPED_EARLY, file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except typer.Exit as stop:
        return int(stop.exit_code)
    except Exception as error:  # noqa: BLE001 - main ends with a message, whatever happened
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the option parser
            error.show()
            return int(error.exit_code)
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return FAILED


if __name__ == "__main__":
    leave(main())
