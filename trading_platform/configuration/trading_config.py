"""The whole trading configuration: one frozen value, from `trading.toml` and command-line overrides.

Every table is a dataclass whose defaults are the documented ones, so an empty file is a complete configuration. Keys
are strict, and all mistakes come in one message with file, line, value and cure. [risk] and [regime] are checked here
and stay raw, for `RiskConfig` and `RegimeConfig` to read; so do the parameters of strategies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.risk_config import RiskConfig
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
from trading_platform.core.day_count import ANNUAL_SESSIONS, DAYS_A_YEAR
from trading_platform.core.errors import FixConfigError
from trading_platform.core.served_policy import MAX_AGE_SESSIONS
from trading_platform.core.validation import Interval, InvalidSettingsError
from trading_platform.regime.config import RegimeConfig

Table = Mapping[str, object]
Validator = Callable[[Table], object]

# what these hold does not change a decision, so it does not change the fingerprint
NOT_DECIDING = ("account", "broker", "storage", "report", "alerts", "logging")
# nor does who is asked before a decision leaves; a fingerprint of before this setting stays what it was
NOT_DECIDING_KEYS = ("consent", "consent_minutes")

_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,15}")
_EXCHANGE, _CURRENCY = re.compile(r"[A-Z0-9]{3,8}"), re.compile(r"([A-Z]{3})?")
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,39}")
_BROKER_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d")
Count = Annotated[int, Interval("[1, 1000000]")]


OWN_BROKERS = "brokers"  # folder beside trading.toml


class _Checked:
    __slots__ = ()

    def __post_init__(self) -> None:
        if problems := validation.problems(self):
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class EngineConfig(_Checked):
    """Pace and scale of the engine.

    Attributes
    ----------
    initial_capital
        Dollars that a replay or paper account starts with. A broker's account has its own.
    scan_interval_seconds
        Time between scans while the exchange is open.
    seed
        Seed of everything random; of the embedded market above all.
    replay_sessions
        Sessions that a replay trades when no dates are given.
    history_sessions
        Sessions before the first traded one, for lookbacks and regime fits; 756 is three years.
    fills
        How a replay, `evaluate` and the local paper account fill orders: "exact" at the official open and in full;
        "realistic" as Alpaca does (auction beside the open, partial fills, stops that slip), drawn from `seed`. An
        account at a broker is filled by the broker.
    commit_sessions
        Sessions a replay books per database transaction. A killed replay continues at its last transaction and ends
        with the same trades; what it repeats is at most so many sessions, a tenth of a second for 504. Fewer show a
        watcher more, and are slower.
    consent
        Whether entries of a live or paper account ask their owner before they leave: "none"; "veto", they go unless
        somebody says `veto` in time; "ask", only after a `consent`. Exits always go. Replays ask nobody.
    consent_minutes
        Minutes before the open at which "in time" ends. Orders for the opening auction must be there at 9:28.
    """

    initial_capital: Annotated[float, Interval("[100, 1000000000000]")] = 100_000.0
    scan_interval_seconds: Annotated[float, Interval("[1, 86400]")] = 900.0
    seed: Annotated[int, Interval("[0, 4294967295]")] = 7
    replay_sessions: Count = 252
    history_sessions: Annotated[int, Interval("[0, 1000000]")] = 756
    fills: Literal["exact", "realistic"] = "exact"
    commit_sessions: Count = 504
    consent: Literal["none", "veto", "ask"] = "none"
    consent_minutes: Annotated[float, Interval("[3, 900]")] = 30.0


@dataclass(frozen=True, slots=True)
class AccountConfig(_Checked):
    """The account that is traded: `name` is what operators call it (`halt --account NAME`). Empty: its number."""

    name: str = ""

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "name" not in problems and self.name and not _ACCOUNT_NAME.fullmatch(self.name):
            problems["name"] = (
                f"name must be letters, digits, dots, hyphens and underscores, at most 40, was {self.name!r}"
            )
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class BrokerConfig(_Checked):
    """Where orders go, and how it is spoken to.

    Attributes
    ----------
    name
        "paper" is the local paper account, "alpaca" the account that the keys open, any other name a broker of one's
        own (docs/brokers.md). Empty: what goes with the data, Alpaca's account with Alpaca's bars and the paper account
        with Yahoo's. A replay reaches none.
    folder
        Folder of brokers of one's own.
    trade_updates
        Listen to Alpaca's stream, so that fills are booked within seconds. It takes one listener of an account at a
        time: switch it off where another program of yours listens.
    """

    name: str = ""
    folder: str = OWN_BROKERS
    trade_updates: bool = True

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "name" not in problems and self.name and not _BROKER_NAME.fullmatch(self.name):
            problems["name"] = (
                'name must be "paper", "alpaca" or the name of a broker of your own (small letters, digits and _), was '
                f"{self.name!r}"
            )
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class UniverseConfig(_Checked):
    """What may be traded: `tickers`, else those of `file`, else all of the data source or the shipped list."""

    file: str = ""
    tickers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "tickers" not in problems:
            wrong = [ticker for ticker in self.tickers if not _TICKER.fullmatch(ticker)]
            if wrong:
                problems["tickers"] = f"tickers must be upper-case symbols such as AAPL or BRK.B, was {wrong[0]!r}"
            elif twice := _twice(self.tickers):
                problems["tickers"] = f"tickers must name each ticker once, was {twice!r} twice"
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class DataConfig(_Checked):
    """Where bars come from.

    Attributes
    ----------
    source
        "synthetic" is the embedded market, "files" a `folder` of bars, "alpaca" needs keys, "yahoo" none.
    folder
        Folder of the "files" source, or several: the first that has a ticker gives its whole series.
    max_bad_bars_pct
        Largest share of bars that cannot be true, percent; such a bar is its ticker's unknown day. Vendors err in a few
        of ten thousand; one in twenty means that columns are misunderstood, and the market is refused.
    accepted_jumps
        Price jumps that are real: a ticker, or a ticker and a date. Others that look like a split which nobody
        recorded end new positions in their ticker.
    date_order
        "auto" reads dates such as 01/03/2023 in the one order that fits the whole file; "month_first" and "day_first"
        say it where both fit.
    adjustment
        "auto" uses splits and dividends where the files tell them, else the adjusted close; "raw" takes prices as they
        stand; "adjusted" always goes by the adjusted close.
    vix
        "required" refuses new positions while VIX is unknown; "realized" puts the benchmark's realized volatility in
        its place where the source has no VIX at all.
    calendar
        The exchange that files of bars are of, by its code in exchange_calendars: XNYS, XLON, XETR, XTKS.
    currency
        What their prices are in, three letters; empty = that of the exchange.
    benchmark
        The ticker among them that stands for the whole market.
    """

    source: Literal["synthetic", "files", "alpaca", "yahoo"] = "synthetic"
    folder: str | tuple[str, ...] = ""
    max_bad_bars_pct: Annotated[float, Interval("[0, 100]")] = 5.0
    accepted_jumps: tuple[str, ...] = ()
    date_order: Literal["auto", "month_first", "day_first"] = "auto"
    adjustment: Literal["auto", "raw", "adjusted"] = "auto"
    vix: Literal["required", "realized"] = "required"
    calendar: str = "XNYS"
    currency: str = ""
    benchmark: str = "SPY"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The data folders, in the order in which they count."""
        given = (self.folder,) if isinstance(self.folder, str) else self.folder
        return tuple(Path(folder) for folder in given if folder)

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "source" not in problems and "folder" not in problems and self.source == "files" and not self.folders:
            problems["folder"] = 'folder must name the data folder when source is "files", was empty'
        problems |= self._exchange_problems()
        if problems:
            raise InvalidSettingsError(problems.values())

    def _exchange_problems(self) -> dict[str, str]:
        found = {}
        if not _EXCHANGE.fullmatch(self.calendar):
            found["calendar"] = f"calendar must be an exchange's code, e.g. XNYS or XLON, was {self.calendar!r}"
        elif self.source in ("alpaca", "yahoo") and self.calendar != "XNYS":
            found["calendar"] = f"calendar must be XNYS for {self.source}; bars of {self.calendar} come from files"
        if not _CURRENCY.fullmatch(self.currency):
            found["currency"] = f"currency must be three letters, e.g. GBP, or empty, was {self.currency!r}"
        if not _TICKER.fullmatch(self.benchmark):
            found["benchmark"] = f"benchmark must be a ticker, was {self.benchmark!r}"
        return found


OWN_STRATEGIES = "strategies"  # folder beside trading.toml
DRAWDOWN_STOP = "drawdown_stop_pct"  # heeded in the table of any strategy; no parameter of its own
_STOP_RANGE = Annotated[float, Interval("[0.1, 100)")]


@dataclass(frozen=True, slots=True)
class StrategiesConfig:
    """Which strategies trade, in this order, and their parameters by name.

    `weights` is a file of targets made elsewhere. Empty `enabled` means the file's strategies where there is one, else
    the default set. `folder` holds strategies of the user's own, which trade when they are named.
    """

    enabled: tuple[str, ...] = ()
    weights: str = ""
    folder: str = OWN_STRATEGIES
    parameters: Mapping[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if twice := _twice(self.enabled):
            raise InvalidSettingsError([f"enabled must name each strategy once, was {twice!r} twice"])

    @property
    def tuning(self) -> dict[str, Table]:
        """Parameters by strategy, without its stop; a strategy of which only that is set has an empty table."""
        return {
            name: {key: value for key, value in table.items() if key != DRAWDOWN_STOP}
            for name, table in self.parameters.items()
        }

    @property
    def drawdown_stops(self) -> dict[str, float]:
        """Strategy -> fall of what it brought at which it is paused, a fraction of the account."""
        stops = {name: table[DRAWDOWN_STOP] for name, table in self.parameters.items() if DRAWDOWN_STOP in table}
        return {name: float(str(value)) / 100.0 for name, value in stops.items()}


@dataclass(frozen=True, slots=True)
class CashConfig(_Checked):
    """What idle cash earns: percent a year, or "file": the data folder's cash_rate.csv, else the shipped bill rate."""

    rate: Annotated[float, Interval("[-5, 50]")] | Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class AllocatorConfig(_Checked):
    """Who splits capital between the strategies.

    Attributes
    ----------
    policy
        "model" asks the model that passed the gate, and is equal weight while there is none; "rules" tilts equal weight
        by published rules (docs/allocation.md); "equal" is equal weight.
    objective
        What a challenger must be better in than equal weight: "risk" (calmer, shallower falls, no loss of Sharpe ratio
        beyond 0.02) or "return" (a higher Sharpe ratio). The gate and the trial in service ask for it.
    models_dir
        Folder of the model registry.
    max_age_sessions
        Sessions behind the newest one that a model has seen beyond which equal weight is served; the same in training,
        replay and live. 280 are the year that training keeps back, and the gap before it.
    max_model_age_days
        The limit's earlier name; a file that has it keeps its limit, counted in sessions. 0 = not given.
    """

    policy: Literal["model", "rules", "equal"] = "model"
    objective: Literal["risk", "return"] = "risk"
    models_dir: str = "rl_models"
    max_age_sessions: Annotated[int, Interval("[1, 2520]")] = MAX_AGE_SESSIONS
    max_model_age_days: Annotated[float, Interval("[0, 3650]")] = 0.0

    @property
    def age_limit(self) -> int:
        """The limit in sessions, by whichever name it was given."""
        if self.max_model_age_days > 0.0:
            return max(1, round(self.max_model_age_days * ANNUAL_SESSIONS / DAYS_A_YEAR))
        return self.max_age_sessions


@dataclass(frozen=True, slots=True)
class StorageConfig(_Checked):
    """The database, as a SQLAlchemy URL. The environment variable DATABASE_URL wins over it."""

    database_url: str = "sqlite:///trading.db"


@dataclass(frozen=True, slots=True)
class ReportConfig(_Checked):
    """The daily report.

    Attributes
    ----------
    deadline_seconds
        Time after which the report goes out with what it has; shorter than the scheduler's limit.
    summary_characters
        Longest text; OpenClaw and Telegram cut a message at 4000 to 4096.
    """

    deadline_seconds: Annotated[float, Interval("[1, 600]")] = 60.0
    summary_characters: Annotated[int, Interval("[500, 4000]")] = 3500


@dataclass(frozen=True, slots=True)
class AlertsConfig(_Checked):
    """Alerts at the moment; where they go stands in the environment, since the addresses are secrets.

    Attributes
    ----------
    telegram
        Send them to the bot's chat of the environment, too.
    quiet_minutes
        After a message about a kind of trouble, more of the same kind waits so long and is folded into one.
    quiet_hours
        "22:00-07:00": nothing is sent between these times of `quiet_zone`; what lasts is sent after. Empty: never.
    most_an_hour
        Messages an hour; what is more is folded into the next one.
    ping_minutes
        TRADING_PING_URL is asked after a look at the account, at most once in so many minutes.
    """

    telegram: bool = True
    quiet_minutes: Annotated[float, Interval("[0, 1440]")] = 10.0
    quiet_hours: str = ""
    quiet_zone: str = "America/New_York"
    most_an_hour: Annotated[int, Interval("[1, 1000]")] = 12
    ping_minutes: Annotated[float, Interval("[0, 1440]")] = 10.0

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "quiet_hours" not in problems and self.quiet_hours and not _HOURS.fullmatch(self.quiet_hours):
            problems["quiet_hours"] = f'quiet_hours must be as in "22:00-07:00", or empty, was {self.quiet_hours!r}'
        if "quiet_zone" not in problems and not _is_zone(self.quiet_zone):
            problems["quiet_zone"] = f"quiet_zone must be a time zone such as Europe/Berlin, was {self.quiet_zone!r}"
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class LoggingConfig(_Checked):
    """Log lines: `file` is inside TRADING_LOG_DIR (empty: standard error), rotated at `max_bytes`, `backups` kept."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"
    file: str = ""
    max_bytes: Annotated[int, Interval("[1024, 10000000000]")] = 10_000_000
    backups: Annotated[int, Interval("[0, 1000]")] = 5


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


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # names that are folders, or lead out of the database
        return False
    return True


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
            validation.checked(own.get(DRAWDOWN_STOP, 1.0), _STOP_RANGE)
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


def _twice(names: Sequence[str]) -> str:
    return next((name for position, name in enumerate(names) if name in names[:position]), "")


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
