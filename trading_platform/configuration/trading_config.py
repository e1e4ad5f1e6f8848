"""The whole trading configuration: one frozen value, from `trading.toml` and command-line overrides.

Every table is a dataclass whose defaults are the documented ones, so an empty file is a complete configuration. Keys
are strict, and all mistakes come in one message with file, line, value and cure. [risk] and [regime] are checked here
and stay raw, for `RiskConfig` and `RegimeConfig` to read; so do the parameters of strategies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trading_platform.configuration.checked_table import Table
from trading_platform.configuration.environment import Settings
from trading_platform.configuration.market_tables import (
    DRAWDOWN_STOP,
    OWN_STRATEGIES,
    STOP_RANGE,
    AllocatorConfig,
    CashConfig,
    DataConfig,
    StrategiesConfig,
    UniverseConfig,
)
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.running_tables import (
    AccountConfig,
    AlertsConfig,
    BrokerConfig,
    EngineConfig,
    LoggingConfig,
    ReportConfig,
    StorageConfig,
)
from trading_platform.configuration.toml_tables import (
    apply_overrides,
    json_problem,
    line_numbers,
    located,
    problem_lines,
    read_fields,
    read_settings_text,
    read_toml,
)
from trading_platform.core import validation
from trading_platform.core.costs import CostConfig, ExitConfig, SizingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import InvalidSettingsError
from trading_platform.regime.config import RegimeConfig

Validator = Callable[[Table], object]

# what these hold does not change a decision, so it does not change the fingerprint
NOT_DECIDING = ("account", "broker", "storage", "report", "alerts", "logging")
# nor does who is asked before a decision leaves; a fingerprint of before this setting stays what it was
NOT_DECIDING_KEYS = ("consent", "consent_minutes")


@dataclass(frozen=True, slots=True)
class TradingConfig:
    """Every setting of a run. `risk` is raw: `RiskConfig.from_mapping(config.risk)`; it may hold "profile"."""

    account: AccountConfig = field(default_factory=AccountConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    universe: UniverseConfig = field(default_factory=UniverseConfig)
    data: DataConfig = field(default_factory=DataConfig)
    cash: CashConfig = field(default_factory=CashConfig)
    strategies: StrategiesConfig = field(default_factory=StrategiesConfig)
    risk: Table = field(default_factory=dict)
    costs: CostConfig = field(default_factory=CostConfig)
    exits: ExitConfig = field(default_factory=ExitConfig)
    sizing: SizingConfig = field(default_factory=SizingConfig)
    regime: Table = field(default_factory=dict)
    allocator: AllocatorConfig = field(default_factory=AllocatorConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    alerts: AlertsConfig = field(default_factory=AlertsConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    def to_dict(self) -> dict[str, object]:
        """Return every setting as JSON values; a password in the database URL is masked."""
        plain: dict[str, object] = json.loads(json.dumps(asdict(self), allow_nan=False))
        storage = plain["storage"]
        if isinstance(storage, dict):
            storage["database_url"] = mask_password(str(storage["database_url"]))
        return plain

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the settings that decide trades: all but those of NOT_DECIDING and NOT_DECIDING_KEYS."""
        deciding = {name: table for name, table in self.to_dict().items() if name not in NOT_DECIDING}
        engine = deciding["engine"]
        if isinstance(engine, dict):
            deciding["engine"] = {key: value for key, value in engine.items() if key not in NOT_DECIDING_KEYS}
        return validation.fingerprint(deciding)


def load_config(
    path: str | Path | None = None,
    overrides: Table | None = None,
) -> TradingConfig:
    """Return the configuration of a TOML file (None: the defaults), with `overrides` winning.

    Parameters
    ----------
    path
        The file. It must exist.
    overrides
        Values by dotted name, e.g. ``{"engine.seed": 3}``; None means "not given" and is passed over.

    Raises
    ------
    InvalidSettingsError
        Unknown tables and keys, wrong types and values, contradictions, all at once, each with file and line.
    FixConfigError
        The file cannot be read or is not TOML.
    """
    document = {} if path is None else read_toml(Path(path))
    lines = {} if path is None else line_numbers(read_settings_text(Path(path)))
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    problems = apply_overrides(document, given)
    tables: dict[str, object] = {}
    for name, table in document.items():
        found = _unknown_table(name) if name not in TradingConfig.__dataclass_fields__ else []
        if not found and not isinstance(table, dict):
            found = [f"{name} must be a table: write [{name}] on a line of its own, was {table!r}"]
        elif isinstance(table, dict) and not found:
            tables[name], found = _read_table(name, table, _VALIDATORS.get(name))
            found = [f"{name}.{line}" for line in found]
        problems += found
    if problems:
        raise InvalidSettingsError(located(line, path, lines, given) for line in problems)
    return TradingConfig(**tables)  # type: ignore[arg-type]  # each table was built by its own class


def config_path(given: Path | None) -> Path | None:
    """Return the settings file: the one given, else trading.toml if it is there."""
    default = Path("trading.toml")
    return given if given is not None else (default if default.is_file() else None)


def machine_overrides(settings: Settings) -> dict[str, object]:
    """Return what this machine's environment says about configuration, as `overrides` of `load_config`."""
    url, models = settings.database_url, settings.models_dir
    return {
        "storage.database_url": None if url is None else url.reveal(),
        "allocator.models_dir": None if models is None else str(models),
    }


def mask_password(url: str) -> str:
    """Return a database URL with its password, if any, replaced by ``***``."""
    scheme, sign, rest = url.partition("://")
    login, at, server = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    if sign and at and colon and not login.startswith("/"):
        url = f"{scheme}://{user}:***@{server}"
    return re.sub(r"(?i)([?&](?:password|sslpassword)=)[^&]*", r"\1***", url)


def _unknown_table(name: str) -> list[str]:
    homes = [f"[{table}]" for table, cls in _CLASSES.items() if name in validation.type_hints(cls)]
    hint = f": it belongs in {homes[0]}" if homes else validation.did_you_mean(name, TradingConfig.__dataclass_fields__)
    return [f"{name} is no table of the configuration{hint}"]


def _read_table(name: str, table: dict[str, object], validator: Validator | None) -> tuple[object, list[str]]:
    """Return (what `TradingConfig` holds for the table, problems that begin with the key's name)."""
    made: object = table
    if name in _CLASSES:
        made, problems = read_fields(_CLASSES[name], table)
    else:
        problems = [f"{key} {problem}" for key, value in table.items() if (problem := json_problem(value))]
    if name == "strategies":
        made, found = _read_strategies(table)
        problems += found
    if validator is not None and not problems:
        try:
            validator(table)
        except FixConfigError as error:
            problems += problem_lines(error)
    return made, list(dict.fromkeys(problems))


_PLAIN = ("enabled", "weights", "folder")  # keys of [strategies] that are not the name of one


def _read_strategies(table: dict[str, object]) -> tuple[object, list[str]]:
    parameters = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = {key: value for key, value in table.items() if key not in parameters}
    problems = [
        f"{key} is no setting: parameters of a strategy stand in a table [strategies.<name>]"
        f"{validation.did_you_mean(key, _PLAIN)}"
        for key in plain
        if key not in _PLAIN
    ]
    for name, own in parameters.items():
        try:
            validation.checked(own.get(DRAWDOWN_STOP, 1.0), STOP_RANGE)
        except ValueError as problem:
            problems.append(f"{name}.{DRAWDOWN_STOP} {problem}")
    weights, folder = plain.get("weights", ""), plain.get("folder", OWN_STRATEGIES)
    if not isinstance(weights, str):
        problems.append(f"weights must be the path of a file, was {weights!r}")
    if not isinstance(folder, str) or not folder:
        problems.append(f"folder must be the path of a folder, was {folder!r}")
    try:
        enabled = validation.checked(plain.get("enabled", ()), tuple[str, ...])
        made = StrategiesConfig(enabled, str(weights), str(folder), parameters)  # type: ignore[arg-type]  # just checked
        return made, problems
    except ValueError as problem:
        return None, [*problems, f"enabled {problem}"]
    except InvalidSettingsError as error:
        return None, [*problems, *error.problems]


_CLASSES: dict[str, type[object]] = {
    "account": AccountConfig,
    "broker": BrokerConfig,
    "engine": EngineConfig,
    "universe": UniverseConfig,
    "data": DataConfig,
    "cash": CashConfig,
    "costs": CostConfig,
    "exits": ExitConfig,
    "sizing": SizingConfig,
    "allocator": AllocatorConfig,
    "storage": StorageConfig,
    "report": ReportConfig,
    "alerts": AlertsConfig,
    "logging": LoggingConfig,
}
_VALIDATORS: dict[str, Validator] = {"risk": RiskConfig.from_mapping, "regime": RegimeConfig.from_mapping}
