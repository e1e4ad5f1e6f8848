"""`doctor`: is everything there that trading needs? Each check is a function that returns a `Finding`.

Nothing is changed, made or sent: the database is opened read-only, and the account is only asked, but for the one
order of `--broker` (`operations.doctor_broker`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import inspect, select

from trading_platform.alpaca.http import AlpacaHttp, access_from
from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config, machine_overrides
from trading_platform.core.errors import FixConfigError, RepairDatabaseError, RetrainModelError
from trading_platform.machine.clocks import steady_seconds
from trading_platform.operations.account_costs import check_costs
from trading_platform.operations.commands import confirmed
from trading_platform.operations.doctor_broker import BrokerTrial, skipped_trial
from trading_platform.operations.doctor_findings import CheckVerdict, Finding, examined, exit_code_of
from trading_platform.operations.doctor_services import service_findings
from trading_platform.reporting.status_screen import WIDE, say
from trading_platform.storage import models as m
from trading_platform.storage.database import check_schema, database_name, database_url, open_database
from trading_platform.storage.model_registry import ModelRegistry

LEAST_FREE = 100_000_000  # bytes: below it a commit may fail
FEW_FREE = 1_000_000_000
LIVE_QUESTION = "Place, replace and cancel an order of one share, at half the market's price, on the LIVE account?"


def doctor(
    database: str | None,
    config_file: Path | None,
    now: Callable[[], datetime],
    *,
    live: bool,
    as_json: bool,
    broker: bool = False,
    sure: bool = False,
) -> int:
    """Examine everything, print the findings with cures, and return the exit code.

    With `broker` one order is placed far from the market, replaced and cancelled; on a live account only after a yes.
    """
    if broker and live and not sure and not confirmed(LIVE_QUESTION):
        say("Nothing was sent and nothing was looked at.")
        return 0
    findings = examine(database, config_file, now, live=live, broker=broker)
    code = exit_code_of(findings)
    if as_json:
        report = {"exit_code": code, "checks": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        _show(findings)
        say(verdict_line(findings))
    return code


def examine(
    database: str | None,
    config_file: Path | None,
    now: Callable[[], datetime],
    *,
    live: bool,
    broker: bool = False,
) -> list[Finding]:
    """Return the findings of all checks, in the order in which one rests on another."""
    try:
        settings = load_settings()
        overrides = machine_overrides(settings) | ({} if database is None else {"storage.database_url": database})
        path = config_path(config_file)
        config = load_config(path, overrides)
    except FixConfigError as error:
        return [
            Finding(
                "settings", CheckVerdict.FAILED, str(error), "nothing else can be looked at before", error.exit_code
            )
        ]
    services = service_findings(settings, config, now, live=live)
    return [
        examined("settings", lambda: check_settings(settings, config, path)),
        *services,
        *(try_broker(settings, services, now, live=live) if broker else ()),
        *machine_findings(settings, config),
    ]


def examine_without_keys(settings: Settings, database: str, config_file: Path | None) -> list[Finding]:
    """Return the findings of all checks that ask no broker and no network, for a process that holds no key."""
    try:
        config = load_config(config_path(config_file), {"storage.database_url": database})
    except FixConfigError as error:
        return [Finding("settings", CheckVerdict.FAILED, str(error), "mend the settings file", error.exit_code)]
    keyless = Finding(
        "keys", CheckVerdict.SKIPPED, "this process holds none", "`doctor` in a terminal looks at broker and data"
    )
    return [
        examined("settings", lambda: check_settings(settings, config, config_path(config_file))),
        keyless,
        *machine_findings(settings, config),
    ]


def machine_findings(settings: Settings, config: TradingConfig) -> list[Finding]:
    """Return the findings about this machine: database, costs, disk, model."""
    return [
        examined("database", lambda: check_database(config.storage.database_url)),
        examined("costs", lambda: check_costs(config.storage.database_url, own_cost_bps(config))),
        examined("disk", lambda: check_disk(_folders(settings, config), lambda path: shutil.disk_usage(path).free)),
        examined("model", lambda: check_model(Path(config.allocator.models_dir))),
    ]


def own_cost_bps(config: TradingConfig) -> float:
    """Return what is set as the cost of trading one way: half spread and slippage, basis points."""
    return config.costs.half_spread_bps + config.costs.slippage_bps


def try_broker(
    settings: Settings, services: Sequence[Finding], now: Callable[[], datetime], *, live: bool
) -> Sequence[Finding]:
    """Return the findings of a trial order, which is sent only where keys and account are well."""
    verdicts = {finding.check: finding.verdict for finding in services}
    for name in ("keys", "account"):
        if verdicts.get(name) not in (CheckVerdict.OK, CheckVerdict.WARNING):
            return skipped_trial(f"no order was sent, since {name} is {verdicts.get(name, CheckVerdict.SKIPPED)}")
    return BrokerTrial(AlpacaHttp(access_from(settings, live=live)), now, steady_seconds, time.sleep).run()


# ---------------------------------------------------------------- checks of this machine


def check_settings(settings: Settings, config: TradingConfig, path: Path | None) -> Finding:
    """Tell which settings are in force; suspicious ones are warnings."""
    text = (
        f"{path or 'no trading.toml: defaults'}, [data] source {config.data.source}, fingerprint {config.fingerprint}"
    )
    if settings.warnings:
        return Finding("settings", CheckVerdict.WARNING, text, "; ".join(settings.warnings))
    return Finding("settings", CheckVerdict.OK, text)


def check_database(url: str) -> Finding:
    """Look whether the database can be opened, is sound and of this version, and what its newest run is.

    Raises
    ------
    RepairDatabaseError
        It is damaged, or there is none and its folder cannot be written.
    """
    parsed = database_url(url)
    name = database_name(parsed)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        if not path.exists():
            home = _existing(path.absolute())
            if not os.access(home, os.W_OK):
                raise RepairDatabaseError(f"{name} does not exist and {home} cannot be written; give it to this user")
            return Finding("database", CheckVerdict.OK, f"{name} is made at the first start")
    engine = open_database(url, read_only=True)
    try:
        check_schema(engine)
        with engine.connect() as connection:
            if parsed.get_backend_name() == "sqlite":
                state = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if state != "ok":
                    raise RepairDatabaseError(f"{name} is damaged ({state}); restore it from a backup")
            is_new = not inspect(connection).has_table(m.Run.__tablename__)  # left by an interrupted first start
            newest = select(m.Run.__table__).order_by(m.Run.id.desc()).limit(1)
            run = None if is_new else connection.execute(newest).first()
    finally:
        engine.dispose()
    if run is None:
        return Finding("database", CheckVerdict.OK, f"{name}, no run yet")
    words = f"run {run.id} {run.mode}, {run.status}, settled to {run.last_session}"
    return Finding("database", CheckVerdict.OK, f"{name}, {words}")


def check_disk(folders: Sequence[Path], free_bytes: Callable[[Path], int]) -> Finding:
    """Compare free space where the engine writes with what it needs."""
    free, folder = min((free_bytes(_existing(folder.absolute())), folder) for folder in folders)
    text = f"{free / 1e9:.1f} GB free for {folder}"
    cure = "make room: an order's intent that cannot be written is not sent"
    if free < LEAST_FREE:
        return Finding("disk", CheckVerdict.FAILED, text, cure, RepairDatabaseError.exit_code)
    if free < FEW_FREE:
        return Finding("disk", CheckVerdict.WARNING, text, cure)
    return Finding("disk", CheckVerdict.OK, text)


def check_model(folder: Path) -> Finding:
    """Verify the serving model against its manifest; without one capital is split equally."""
    registry = ModelRegistry(folder)
    champion = registry.champion()
    if champion is None:
        return Finding("model", CheckVerdict.OK, f"none promoted in {folder}: equal weight serves")
    problem = registry.verify(champion.model_id)
    if problem is not None:
        cure = "equal weight serves meanwhile; promote another model or train again"
        return Finding("model", CheckVerdict.FAILED, problem, cure, RetrainModelError.exit_code)
    return Finding("model", CheckVerdict.OK, f"{champion.model_id} verified, serving since {champion.promoted_at}")


def _folders(settings: Settings, config: TradingConfig) -> list[Path]:
    parsed = database_url(config.storage.database_url)
    own = [Path(str(parsed.database)).parent] if parsed.get_backend_name() == "sqlite" else []
    return [*own, settings.cache_dir, settings.log_dir]


def _existing(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _show(findings: Sequence[Finding]) -> None:
    styles = {
        CheckVerdict.OK: "green",
        CheckVerdict.WARNING: "yellow",
        CheckVerdict.FAILED: "bold red",
        CheckVerdict.SKIPPED: "dim",
    }
    console = Console(highlight=False)
    if console.width < WIDE:
        for finding in findings:
            style = styles[finding.verdict]
            cure = f" -> {finding.cure}" if finding.cure else ""
            console.print(f"{finding.check}: [{style}]{finding.verdict}[/{style}] {_plain(finding.text + cure)}")
        return
    table = Table(show_edge=False)
    for title in ("check", "verdict", "found", "cure"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        style = styles[finding.verdict]
        table.add_row(
            finding.check, f"[{style}]{finding.verdict}[/{style}]", _plain(finding.text), _plain(finding.cure)
        )
    console.print(table)


def verdict_line(findings: Sequence[Finding]) -> str:
    """Return the last line: what can be done on this machine now, and the next command."""
    failed = [finding.check for finding in findings if finding.verdict is CheckVerdict.FAILED]
    if failed:
        return f"Not ready: mend {', '.join(failed)} first, then run doctor again."
    lacks_keys = any(finding.check == "keys" and finding.verdict is CheckVerdict.SKIPPED for finding in findings)
    warned = [finding.check for finding in findings if finding.verdict is CheckVerdict.WARNING]
    remark = f" Look at: {', '.join(warned)}." if warned else ""
    if lacks_keys:
        return f"Ready to replay (no keys, so not for Alpaca): python autonomous_trading_engine.py{remark}"
    return f"Ready to trade: python autonomous_trading_engine.py trade{remark}"


def _plain(text: str) -> str:
    """Return `text` for rich: [data] is a table of our settings and no style."""
    return text.replace("[", "\\[")
