"""The Python face: load bars, replay a book, judge it, train, in a notebook or a script. Nothing here reaches a broker.

    >>> from trading_platform import api
    >>> market = api.load("my_bars")                       # or a DataFrame, or "synthetic"
    >>> result = api.backtest(market, start="2015-01-02", cost_bps=10)
    >>> result.metrics["sharpe"], result.equity["equity"].iloc[-1]
    >>> api.evaluate(market, universes=5).figures["sharpe"]
    >>> api.train(market, episodes=1000, eval_freq=100).verdict

What it does is what the command line does, by the same functions: the same bars, settings and seed give the same cents.
Without `config` no settings file is read. Names here stay for a minor version after they are replaced.
"""

from __future__ import annotations

import html
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import Engine, select

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig, load_config
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.engine.engine_market import configured_strategies, strategies_named
from trading_platform.engine.trading_rules import rules_of
from trading_platform.evaluation.evaluate_document import table
from trading_platform.market_data.exchange import exchange_of_source
from trading_platform.market_data.load_panel import load_panel, with_own_parts
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.reporting.market_words import in_currency, market_words
from trading_platform.reporting.run_page_file import write_run_page
from trading_platform.reporting.run_results import run_results
from trading_platform.runtime.build import replaying
from trading_platform.runtime.evaluate import EvaluateOptions, judged
from trading_platform.runtime.instructions import Instructions
from trading_platform.runtime.open_run import set_stage
from trading_platform.runtime.trade_settings import TradeOptions
from trading_platform.storage import models as m
from trading_platform.strategies.base import AnyStrategy
from trading_platform.work.job import Place

if TYPE_CHECKING:
    from trading_platform.training.in_python import Training

API_VERSION = 1

Day = date | str | pd.Timestamp
SYNTHETIC = "synthetic"
HEADLINE = (  # of a result's short form: key, words, is a fraction shown as percent
    ("total_return", "return", True),
    ("annual_return", "a year", True),
    ("excess_return", "a year over bills", True),
    ("sharpe", "Sharpe ratio over bills", False),
    ("max_drawdown", "deepest fall", True),
    ("beta", "beta", False),
    ("avg_exposure", "invested on average", True),
    ("trades", "closed trades", False),
)


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Daily bars that were read and checked.

    Attributes
    ----------
    panel
        The bars as the engine has them; see `trading_platform.core.types.MarketPanel`.
    """

    panel: MarketPanel
    _options: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def tickers(self) -> tuple[str, ...]:
        """Tickers, sorted."""
        return self.panel.tickers

    @property
    def closes(self) -> pd.DataFrame:
        """Closes as they were traded, (T sessions, N tickers) in dollars; NaN where there was no bar."""
        index = pd.DatetimeIndex(self.panel.sessions, name="session")
        return pd.DataFrame(self.panel.close, index=index, columns=list(self.panel.tickers))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed, left out or found odd while reading."""
        return self.panel.warnings

    def __repr__(self) -> str:
        first, last = self.panel.session(0), self.panel.session(self.panel.n_sessions - 1)
        return f"<Market {self.panel.source}: {len(self.tickers)} tickers, {first} to {last}, {len(self.notes)} notes>"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p>{html.escape(repr(self)[1:-1])}</p><ul>{notes}</ul>"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Result:
    """A finished replay. Money is dollars, returns are fractions; frames are indexed or ordered by time.

    Attributes
    ----------
    metrics
        What ``replay --json`` prints: see docs/results.md for every key.
    equity
        One row a session: equity, cash, exposure, drawdown, costs and flows of the day.
    trades, orders, fills
        Closed round trips; every order with what became of it; one strategy's part of an execution a row.
    """

    metrics: dict[str, Any]
    equity: pd.DataFrame
    trades: pd.DataFrame
    orders: pd.DataFrame
    fills: pd.DataFrame
    _write: Callable[[Path], Path] = field(repr=False)

    def page(self, path: str | Path) -> Path:
        """Write the run's page with charts, one file that needs no network, and return where it is.

        `path` is a file that ends with .html, or a folder.

        Raises
        ------
        FixConfigError
            It cannot be written, or the run has fewer than two closes.
        """
        wanted = Path(path)
        if wanted.suffix.lower() != ".html":
            return self._write(wanted)
        written = self._write(wanted.parent)
        return written if written == wanted else written.replace(wanted)

    @property
    def critique(self) -> list[str]:
        """Why the result may be less than it seems; empty: nothing was found."""
        return [str(finding["message"]) for finding in self.metrics["critique"]]

    @property
    def returns(self) -> pd.Series[float]:
        """Daily returns less deposits and withdrawals, (T,)."""
        worth, before = self.equity["equity"] - self.equity["cash_flow"], self.equity["previous_equity"]
        returns: pd.Series[float] = (worth / before - 1.0).rename("return")
        return returns

    def __repr__(self) -> str:
        told = self.metrics
        return f"<Result SIMULATED {told['first_session']} to {told['last_session']}: {_words(told)}>"

    def _repr_html_(self) -> str:
        told = self.metrics
        rows = "".join(
            f"<tr><td>{words}</td><td style='text-align:right'>{_shown(told[key], percent)}</td></tr>"
            for key, words, percent in HEADLINE
        )
        doubts = "".join(f"<li>{html.escape(line)}</li>" for line in self.critique)
        span = f"{told['first_session']} to {told['last_session']}"
        curve = in_currency(_curve(self.equity["equity"]), str(told["market"]))
        return (
            f"<p><b>SIMULATED</b>, {html.escape(market_words(str(told['market'])))}, {span}</p>"
            f"{curve}<table>{rows}</table>" + (f"<p>Doubts:</p><ul>{doubts}</ul>" if doubts else "")
        )


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A book judged on many random universes: `figures` is what ``evaluate --json`` prints."""

    figures: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Evaluation on {self.figures['universes']} universes: Sharpe {self.figures['sharpe']['mean']:.2f}>"

    def __str__(self) -> str:
        return in_currency(table(self.figures), self.figures["market"])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def load(
    data: str | Path | pd.DataFrame | Iterable[str | Path] = SYNTHETIC,
    *,
    tickers: Sequence[str] | None = None,
    end: Day | None = None,
    vix: str | None = None,
    seed: int = 7,
    calendar: str | None = None,
    currency: str | None = None,
    benchmark: str | None = None,
    columns: Sequence[str] = (),
    own_rules: Sequence[str] = (),
) -> Market:
    """Read and check daily bars.

    Parameters
    ----------
    data
        "synthetic" (the embedded market), a folder, several folders (the first that has a ticker gives its series), or
        a frame with a row a bar: date, ticker, open, high, low, close, volume[, split_ratio, dividend].
    tickers
        Only these; None = all.
    end
        Last day that is read.
    vix
        "required" (the default) or "realized": the universe's own volatility where there is no VIX.
    seed
        Of the embedded market.
    calendar, currency, benchmark
        Of files of another exchange: its code in exchange_calendars ("XLON"), what prices are in (None = its own), and
        the ticker that stands for the whole market.
    columns, own_rules
        Data columns and risk rules of your own, by name: `columns/NAME.py`, `rules/NAME.py`, or an installed package's.

    Raises
    ------
    MarketDataError
        The bars cannot be used; the message names file, line, value and cure.
    FixConfigError
        An argument is wrong.
    """
    options: dict[str, object] = {"data.vix": vix, "universe.tickers": None if tickers is None else tuple(tickers)}
    options |= {"data.calendar": calendar, "data.currency": currency, "data.benchmark": benchmark}
    own = {"data.columns": tuple(columns), "engine.own_rules": tuple(own_rules)}
    options |= {name: names for name, names in own.items() if names}  # none named here: those of the settings
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, options, _day(end))
    if isinstance(data, str) and data == SYNTHETIC:
        options |= {"data.source": SYNTHETIC, "engine.seed": seed}
    else:
        folders = [data] if isinstance(data, str | Path) else list(data)
        options |= {"data.source": "files", "data.folder": [str(folder) for folder in folders]}
    return Market(_panel(options, _day(end)), options)


def _from_frame(frame: pd.DataFrame, options: Mapping[str, object], end: date | None) -> Market:
    """Read a frame as the file of bars that it would be: one way of understanding columns, days and values."""
    is_indexed = isinstance(frame.index, pd.MultiIndex | pd.DatetimeIndex)
    with tempfile.TemporaryDirectory(prefix="trading-bars-") as folder:
        frame.to_csv(Path(folder) / "frame.csv", index=is_indexed)
        read = {**options, "data.source": "files", "data.folder": [folder]}
        panel = _panel(read, end)
    return Market(
        replace(panel, source=exchange_of_source(panel.source).marked("frame")),
        {**options, "data.source": "files", "data.folder": ["frame"]},
    )


def _panel(options: Mapping[str, object], end: date | None) -> MarketPanel:
    config = load_config(None, dict(options))
    return load_panel(config, load_settings(), exchange_calendar(config.data), None, end)


def backtest(
    data: Market | str | Path | pd.DataFrame | Iterable[str | Path] = SYNTHETIC,
    *,
    strategies: Sequence[str | AnyStrategy] | None = None,
    config: str | Path | Mapping[str, object] | None = None,
    allocation: Mapping[str, float] | str | None = None,
    start: Day | None = None,
    end: Day | None = None,
    capital: float | None = None,
    cost_bps: float | None = None,
    fills: str | None = None,
    seed: int | None = None,
    database: str | Path | None = None,
) -> Result:
    """Replay the engine over past bars: every order through the risk rules, costs on, decided at the close.

    Parameters
    ----------
    data
        What `load` returned, or anything that it takes.
    strategies
        Names, strategy objects, or both; None = those of `config`, which is the default set.
    config
        A settings file, or values by dotted name: ``{"risk.max_drawdown_pct": 10.0}``. None = the defaults.
    allocation
        Share of capital by strategy, or as ``--allocation`` has it; None = the promoted model, else equal weight.
    start, end
        First and last session that is traded; None = the last 252, and the last there is.
    capital, cost_bps, fills, seed
        As the options of the command line; None = the settings'.
    database
        Where the run is kept; None = nowhere, it lives in the result.

    Raises
    ------
    MarketDataError, FixConfigError
        As on the command line.
    """
    market = data if isinstance(data, Market) else load(data)
    if database is not None:
        return _replayed(market, strategies, config, allocation, start, end, capital, cost_bps, fills, seed, database)
    folder = tempfile.mkdtemp(prefix="trading-run-")
    try:
        place = Path(folder) / "run.db"
        result = _replayed(market, strategies, config, allocation, start, end, capital, cost_bps, fills, seed, place)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)  # its page is drawn from there
    return result


def _replayed(
    market: Market,
    strategies: Sequence[str | AnyStrategy] | None,
    config: str | Path | Mapping[str, object] | None,
    allocation: Mapping[str, float] | str | None,
    start: Day | None,
    end: Day | None,
    capital: float | None,
    cost_bps: float | None,
    fills: str | None,
    seed: int | None,
    place: str | Path,
) -> Result:
    overrides = {**_costs(cost_bps), "engine.initial_capital": capital, "engine.fills": fills, "engine.seed": seed}
    settings = load_settings()
    read = _config(config, {**market._options, **_given(overrides), "storage.database_url": _url(place)})
    given = _instructions(read, settings, strategies, allocation)
    stage = set_stage(
        read,
        settings,
        given.rules,
        given.limits,
        _day(start),
        _day(end),
        given.strategies,
        given.choose,
        panel=_until(with_own_parts(market.panel, read), _day(end)),
    )
    try:
        with replaying(stage, read, given.rules) as engine:
            engine.run(engine.recover(stage.first), stage.stop)
            engine.repository.update_run(status="finished")
            engine.repository.commit()
            return _result(stage.database, stage.run.run_id, stage.prepared.panel, _url(place))
    finally:
        stage.database.dispose()


def evaluate(
    data: Market | str | Path | pd.DataFrame | Iterable[str | Path],
    *,
    config: str | Path | Mapping[str, object] | None = None,
    strategies: Sequence[str | AnyStrategy] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    universes: int = 20,
    universe_size: int = 60,
    cost_bps: float = 10.0,
    seed: int = 0,
    jobs: int = 1,
) -> Evaluation:
    """Judge a book on many random universes, after costs and over bills, beside what anybody could have held.

    Arguments are those of `backtest` and of the command ``evaluate``; `jobs` processes share the universes.

    Raises
    ------
    MarketDataError, FixConfigError
        As on the command line.
    """
    market = data if isinstance(data, Market) else load(data)
    read = _config(config, {**market._options, **_costs(cost_bps)})
    chosen = _instructions(read, load_settings(), strategies, None).strategies
    trade = TradeOptions(quiet=True)
    options = EvaluateOptions(trade, _day(start), _day(end), universes, universe_size, seed, Place(jobs))
    return Evaluation(judged(options, read, chosen, with_own_parts(market.panel, read), shown=False)[0])


def train(
    data: Market | str | Path | pd.DataFrame | Iterable[str | Path] = SYNTHETIC,
    *,
    config: str | Path | Mapping[str, object] | None = None,
    episodes: int = 16_000,
    eval_freq: int = 1_600,
    seeds: int | None = None,
    seed: int = 1,
    algo: str | None = None,
    reward: str | None = None,
    net: str | None = None,
    options: Mapping[str, object] | None = None,
    walk_forward: str | None = None,
    train_years: int | None = None,
    test_sessions: int = 252,
    jobs: int = 1,
    models_dir: str | Path | None = None,
    shown: bool = False,
) -> Training:
    """Train an allocator on past bars, judge it, keep it, and let it stand trial in service if it passed.

    Parameters
    ----------
    data, config
        As in `backtest`.
    episodes, eval_freq
        Budget of one fit in episodes of 20 sessions, and how many lie between looks at the validation slice.
    seeds, seed
        Number of fits, averaged (None = 3, of a short run 1), and the first one's seed.
    algo, reward, net
        "ppo" (the default), "a2c", "sac" or "gradient", which needs no extra package; the reward, and hidden units a
        layer ("16", "32,32"; None = linear).
    options
        Further training options by name, what the command line has as ``--set``.
    walk_forward, train_years, test_sessions
        "yearly" or "rolling": judge on the walked path; years that are trained on (None = all); the newest sessions
        that are kept back.
    jobs
        Processes that the fits are spread over.
    models_dir
        Where models are kept; None = RL_MODELS_DIR, else that of `config`: where the engine looks.
    shown
        Draw the progress bar.

    Raises
    ------
    MarketDataError, FixConfigError
        As on the command line; a missing package is named with its cure.
    """
    from trading_platform.training.batched_env import BatchedAllocEnv  # gymnasium, and only training needs it
    from trading_platform.training.in_python import trained
    from trading_platform.training.packages import check_packages
    from trading_platform.training.preparation import RunOptions
    from trading_platform.training.setup_options import make_setup

    if walk_forward not in (None, "yearly", "rolling"):
        raise FixConfigError(f'walk_forward must be "yearly" or "rolling", was {walk_forward!r}')
    pairs = [f"{name}={value}" for name, value in (options or {}).items()]
    setup = make_setup(episodes, eval_freq, pairs, {"algo": algo, "reward": reward, "net": net})
    check_packages(setup.algo, with_curves=False)
    market = data if isinstance(data, Market) else load(data)
    settings = load_settings()
    folder = models_dir if models_dir is not None else settings.models_dir
    kept = _given({"allocator.models_dir": None if folder is None else str(folder)})
    read = _config(config, {**market._options, **kept})
    asked = RunOptions(
        scheme=walk_forward or "single",
        train_years=train_years if walk_forward != "rolling" else train_years or 2,
        test_sessions=test_sessions,
        retrain=False,
        seeds=tuple(range(seed, seed + (seeds or setup.usual_seeds))),
        jobs=jobs,
        models_dir=Path(read.allocator.models_dir),
        device="cpu",
        resume=True,
        end=None,
    )
    rules = _instructions(read, settings, None, None).rules
    return trained(
        with_own_parts(market.panel, read), asked, setup, read, settings, rules, BatchedAllocEnv, shown=shown
    )


def _config(given: str | Path | Mapping[str, object] | None, overrides: Mapping[str, object]) -> TradingConfig:
    if isinstance(given, Mapping):
        return load_config(None, {**given, **overrides})
    return load_config(given, dict(overrides))


def _instructions(
    config: TradingConfig,
    settings: Settings,
    strategies: Sequence[str | AnyStrategy] | None,
    allocation: Mapping[str, float] | str | None,
) -> Instructions:
    limits = RiskConfig.from_mapping(config.risk).to_dict()
    options = TradeOptions(allocation=_allocation(allocation))
    return Instructions(
        options, settings, config, limits, rules_of(config), _strategies(config, strategies), follow=False
    )


def _strategies(config: TradingConfig, given: Sequence[str | AnyStrategy] | None) -> tuple[AnyStrategy, ...]:
    if given is None:
        return configured_strategies(config)
    if isinstance(given, str):
        raise FixConfigError(f"strategies must be a list: write [{given!r}]")
    made = [strategies_named(config, [item])[0] if isinstance(item, str) else item for item in given]
    names = [strategy.name for strategy in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not made:
        raise FixConfigError(f"strategies: {', '.join(twice)} is there twice" if twice else "strategies: none is given")
    return tuple(made)


def _allocation(given: Mapping[str, float] | str | None) -> str | None:
    if given is None or isinstance(given, str):
        return given
    return ",".join(f"{name}={weight!r}" for name, weight in given.items())


def _costs(cost_bps: float | None) -> dict[str, object]:
    half = None if cost_bps is None else cost_bps / 2.0
    return _given({"costs.half_spread_bps": half, "costs.slippage_bps": half})


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _url(place: str | Path) -> str:
    return str(place) if "://" in str(place) else f"sqlite:///{Path(place).as_posix()}"


def _day(given: Day | None) -> date | None:
    if given is None:
        return None
    try:
        return pd.Timestamp(given).date()
    except ValueError as error:
        raise FixConfigError(f"{given!r} is no day: write 2015-01-02") from error


def _until(panel: MarketPanel, end: date | None) -> MarketPanel:
    if end is None:
        return panel
    stop = int((panel.sessions.astype("datetime64[D]") <= pd.Timestamp(end).to_datetime64()).sum())
    if stop == 0:
        raise FixConfigError(f"end {end}: no session until then; the data begins on {panel.session(0)}")
    return panel.rows(0, stop)


def _result(database: Engine, run_id: int, panel: MarketPanel, url: str) -> Result:
    def rows(model: type[m.Base], *order: str) -> pd.DataFrame:
        columns = [column for column in model.__table__.columns if column.name != "run_id"]
        with database.connect() as connection:
            found = connection.execute(
                select(*columns)
                .where(model.__table__.c.run_id == run_id)
                .order_by(*(model.__table__.c[name] for name in order))
            )
            return pd.DataFrame(found.all(), columns=[column.name for column in columns])

    equity = rows(m.EquityRow, "session").assign(session=lambda frame: pd.to_datetime(frame["session"]))
    told = run_results(database, run_id, panel)
    return Result(
        told.to_dict(),
        equity.set_index("session"),
        rows(m.Trade, "exit_session", "id"),
        rows(m.Order, "decided_session", "id"),
        rows(m.FillRow, "session", "id"),
        lambda folder: write_run_page(url, told, panel, folder),
    )


def _curve(values: pd.Series[float], width: int = 480, height: int = 90) -> str:
    """Return a line through `values` as SVG; both ends are labelled in dollars."""
    low, high = float(values.min()), float(values.max())
    step, room = width / max(len(values) - 1, 1), (high - low) or 1.0
    points = " ".join(f"{i * step:.1f},{height * (high - v) / room:.1f}" for i, v in enumerate(values))
    ends = f"${values.iloc[0]:,.2f} to ${values.iloc[-1]:,.2f}"
    return (
        f'<svg viewBox="0 -2 {width} {height + 4}" width="{width}" role="img" aria-label="equity, {ends}">'
        f'<polyline fill="none" stroke="#2563eb" stroke-width="1.5" points="{points}"/></svg><p>{ends}</p>'
    )


def _words(metrics: Mapping[str, Any]) -> str:
    shown = (f"{words} {_shown(metrics[key], percent)}" for key, words, percent in HEADLINE[:1] + HEADLINE[3:5])
    return ", ".join(shown)


def _shown(value: object, is_percent: bool) -> str:
    if not isinstance(value, int | float):
        return "unknown"
    return f"{value:+.2%}" if is_percent else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
