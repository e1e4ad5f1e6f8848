"""The `search` commands: run a search, show what it has found, and adopt it only where somebody says so."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.toml_tables import read_settings_text
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config, machine_overrides
from trading_platform.core.errors import FixConfigError
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.engine.trading_rules import rules_of
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.packages import require
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.reporting.search_page import render_search_page
from trading_platform.reporting.status_screen import complain
from trading_platform.runtime.book_and_bars import book_and_bars
from trading_platform.runtime.causality import refuse_lookahead
from trading_platform.runtime.trade_settings import TradeOptions, config_overrides, read_config
from trading_platform.search.adoption import differences, with_settings
from trading_platform.search.plan import SearchPlan, Value, read_plan
from trading_platform.search.run_search import PeriodResult, Search, Settings, run_search
from trading_platform.search.study import one_at_a_time
from trading_platform.search.study_storage import alone_on_server, server_of
from trading_platform.search.trial_task import MINIMISED
from trading_platform.storage.database import reach_server
from trading_platform.storage.trial_ledger import TrialLedger
from trading_platform.work.job import Place

SEARCHES, REPORTS, RESULT = Path("searches"), Path("reports"), "result.json"


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What is asked on the command line."""

    trade: TradeOptions
    plan: Path
    place: Place = field(default_factory=Place)
    sure: bool = False


def search(options: SearchOptions) -> int:
    """Run what is missing of the search, print what was found, write its page; return the exit code.

    Raises
    ------
    StoppedNowError
        Ctrl-C: what is done is kept.
    """
    trade, plan = options.trade, read_plan(options.plan)
    require(("optuna",), "search")
    config = read_config(trade, load_settings())
    database = server_of(config.storage.database_url) if plan.asked.storage == "postgresql" else None
    if database is not None:
        reach_server(config.storage.database_url)
    begun = book_and_bars(trade, plan.outer[-1].end)
    settings, config, strategies, panel, _ = begun
    refuse_lookahead(strategies, panel, config)
    file, overrides = config_path(trade.config), config_overrides(trade, settings)
    folder = SEARCHES / plan.asked.name

    def configure(values: Mapping[str, Value]) -> Settings:
        return settings_of(load_config(file, {**overrides, **values}) if values else config)

    asked = Search(
        plan=plan,
        panel=panel,
        configure=configure,
        exchange_seconds=exchange_calendar(config.data).exchange_seconds,
        config_fingerprint=config.fingerprint,
        folder=folder,
        ledger=TrialLedger(config.allocator.models_dir),
        place=options.place,
        now=utc_now(),
        database=database,
    )
    alone = nullcontext() if database is None else alone_on_server(database, plan.asked.name)
    with one_at_a_time(folder), alone:
        try:
            found = run_search(asked, begun.tell)
        except KeyboardInterrupt:
            raise StoppedNowError(
                f"Stopped. The trials that are done are kept in {folder}; the same command goes on."
            ) from None
        result = document(plan, found, values_now(config, plan))
        (folder / RESULT).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page = _written_page(result)
    if trade.json:
        sys.stdout.write(json.dumps(result | {"page": None if page is None else str(page)}) + "\n")
    else:
        sys.stdout.write(screen(result) + ("" if page is None else f"\npage: {page}") + "\n")
    return 0


def show(options: SearchOptions) -> int:
    """Print what a search has found."""
    result = _found(read_plan(options.plan))
    sys.stdout.write((json.dumps(result) if options.trade.json else screen(result)) + "\n")
    return 0


def adopt(options: SearchOptions) -> int:
    """Show which settings the newest study's best trial would change; change them if that is agreed to."""
    plan = read_plan(options.plan)
    study = _found(plan)["studies"][-1]
    config = load_config(config_path(options.trade.config), machine_overrides(load_settings()))
    changes = differences(values_now(config, plan), study["best_settings"])
    sys.stdout.write(study["sentence"] + "\n")
    if not changes:
        sys.stdout.write("Nothing would change.\n")
        return 0
    for setting, now, value in changes:
        sys.stdout.write(f"  {setting}: {_said(now)} -> {_said(value)}\n")
    file = config_path(options.trade.config) or Path("trading.toml")
    if not options.sure:
        sys.stdout.write(f"Nothing was changed. With --yes these lines go into {file}.\n")
        return 0
    text = read_settings_text(file) if file.exists() else ""
    written = with_settings(text, {setting: value for setting, _, value in changes})
    if text:
        file.with_name(f"{file.name}.before-search").write_text(text, encoding="utf-8")
    draft = file.with_name(f"{file.name}.part")
    draft.write_text(written, encoding="utf-8")
    draft.replace(file)
    kept = f"; the file as it was is {file.name}.before-search" if text else ""
    sys.stdout.write(f"Written into {file}{kept}.\n")
    return 0


def settings_of(config: TradingConfig) -> Settings:
    """Return the book that a configuration describes."""
    rules = rules_of(config)
    policy = "rules" if config.allocator.policy == "rules" else "equal"
    return Settings(configured_strategies(config), rules, config.engine.initial_capital, config.engine.fills, policy)


def values_now(config: TradingConfig, plan: SearchPlan) -> dict[str, Value]:
    """Return what the settings of the space are today; one that is not known is left out."""
    tables: dict[str, Any] = config.to_dict() | {"risk": RiskConfig.from_mapping(config.risk).to_dict()}
    own = {strategy.name: strategy for strategy in configured_strategies(config)}
    now: dict[str, Value] = {}
    for dimension in plan.space:
        table, _, key = dimension.setting.partition(".")
        name, _, parameter = key.partition(".")
        value = getattr(own.get(name), parameter, None) if table == "strategies" else tables[table].get(key)
        if isinstance(value, bool | int | float | str):
            now[dimension.setting] = value
    return now


def document(plan: SearchPlan, found: Sequence[PeriodResult], now: Mapping[str, Value]) -> dict[str, Any]:
    """Return a search as JSON values; None where a figure is not known."""
    asked = plan.asked
    return {
        "name": asked.name,
        "trials": asked.trials,
        "sampler": asked.sampler,
        "pruner": asked.pruner,
        "objectives": list(asked.objectives),
        "universes": asked.universes,
        "universe_size": asked.universe_size,
        "folds": asked.folds,
        "seed": asked.seed,
        "space": [dimension.setting for dimension in plan.space],
        "studies": [_told(plan, finding, now) for finding in found],
    }


def screen(result: Mapping[str, Any]) -> str:
    """Return what is printed of a search."""
    lines = []
    for study in result["studies"]:
        near, luck = study["plateau"], study["luck"]
        lines += [
            f"outer years {study['outer']} (inner {study['inner'][0]} to {study['inner'][1]})",
            f"  {study['sentence']}",
            f"  plateau: the {near['trials']} trials nearest to the best have {_number(near['mean'])} on average, "
            f"{_number(near['worst'])} at worst; best {_number(study['best_value'])}, today {_number(study['now'])}",
            f"  expected to stay of a gain: {_number(luck['shrinkage'])} of it, so {_number(luck['kept'])}; the trials "
            f"amount to {_number(luck['effective'], 1)} independent ones",
            f"  outer years: best {_number(study['outer_best'])}, today {_number(study['outer_now'])}; probability "
            f"that it is better, deflated by the trials: {_number(study['deflated'])}",
        ]
        lines += [
            f"    {name}: {_said(study['settings_now'].get(name))} -> {_said(value)}"
            for name, value in study["best_settings"].items()
        ]
    return "\n".join(lines)


def _told(plan: SearchPlan, finding: PeriodResult, now: Mapping[str, Value]) -> dict[str, Any]:
    best = finding.best
    # by their place: one that a kill tore while it was asked has a number of its own and does not count
    places = {trial.number: place for place, trial in enumerate(finding.trials)}
    return _finite(
        {
            "outer": finding.outer.name,
            "inner": [finding.inner_first, finding.inner_last],
            "sentence": finding.sentence,
            "higher_is_better": plan.asked.objectives[0] not in MINIMISED,
            "now": finding.now[0],
            "best": None if best is None else places[best.number],
            "best_value": None if best is None else best.values[0],
            "best_settings": {} if best is None else dict(best.settings),
            "settings_now": dict(now),
            "plateau": asdict(finding.plateau),
            "luck": asdict(finding.luck),
            "outer_now": finding.outer_now,
            "outer_best": finding.outer_best,
            "deflated": finding.deflated,
            "importance": dict(finding.importance),
            "all_trials": [
                {
                    "number": places[trial.number],
                    "settings": dict(trial.settings),
                    "value": trial.values[0] if trial.values else None,
                    "values": list(trial.values),
                    "pruned": trial.pruned,
                    "unusable": trial.unusable,
                }
                for trial in finding.trials
            ],
        }
    )


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    return {key: _known(item) for key, item in value.items()}


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return _finite(value)
    if isinstance(value, list):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _found(plan: SearchPlan) -> dict[str, Any]:
    path = SEARCHES / plan.asked.name / RESULT
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FixConfigError(f"{path}: nothing is found yet; run the search first: search FILE") from error
    return result


def _written_page(result: Mapping[str, Any]) -> Path | None:
    path = REPORTS / f"search-{result['name']}.html"
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(render_search_page(result), encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        complain(f"no page: {path}: {error.strerror or error}")
        return None
    return path


def _number(value: float | None, digits: int = 2) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"


def _said(value: object) -> str:
    if value is None:
        return "not set"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
