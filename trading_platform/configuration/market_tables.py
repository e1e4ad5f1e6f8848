"""Settings of what is traded: where bars come from, which tickers and strategies, and who splits the capital."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from trading_platform.configuration.checked_table import CheckedTable, Table, twice
from trading_platform.core import validation
from trading_platform.core.day_count import ANNUAL_SESSIONS, DAYS_A_YEAR
from trading_platform.core.served_policy import MAX_AGE_SESSIONS
from trading_platform.core.validation import Interval, InvalidSettingsError

OWN_STRATEGIES = "strategies"  # folder beside trading.toml
DRAWDOWN_STOP = "drawdown_stop_pct"  # heeded in the table of any strategy; no parameter of its own
STOP_RANGE = Annotated[float, Interval("[0.1, 100)")]
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,15}")
_EXCHANGE, _CURRENCY = re.compile(r"[A-Z0-9]{3,8}"), re.compile(r"([A-Z]{3})?")


@dataclass(frozen=True, slots=True)
class UniverseConfig(CheckedTable):
    """What may be traded: `tickers`, else those of `file`, else all of the data source or the shipped list."""

    file: str = ""
    tickers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if "tickers" not in problems:
            wrong = [ticker for ticker in self.tickers if not _TICKER.fullmatch(ticker)]
            if wrong:
                problems["tickers"] = f"tickers must be upper-case symbols such as AAPL or BRK.B, was {wrong[0]!r}"
            elif again := twice(self.tickers):
                problems["tickers"] = f"tickers must name each ticker once, was {again!r} twice"
        if problems:
            raise InvalidSettingsError(problems.values())


@dataclass(frozen=True, slots=True)
class DataConfig(CheckedTable):
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
    columns
        Columns of your own that strategies read beside the bars: files of the folder `columns`, by name.
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
    columns: tuple[str, ...] = ()

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
        if again := twice(self.enabled):
            raise InvalidSettingsError([f"enabled must name each strategy once, was {again!r} twice"])

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
class CashConfig(CheckedTable):
    """What idle cash earns: percent a year, or "file": the data folder's cash_rate.csv, else the shipped bill rate."""

    rate: Annotated[float, Interval("[-5, 50]")] | Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class AllocatorConfig(CheckedTable):
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
