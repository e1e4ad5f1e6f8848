"""``data check|convert|download|show``: look at data before trading on them, and bring them into one form."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.market_tables import DataConfig
from trading_platform.configuration.trading_config import TradingConfig, config_path, load_config
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.types import MarketPanel
from trading_platform.core.written_days import written_day
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.download import (
    Fetch,
    Question,
    download_bars_into,
    panel_fetch,
    yahoo_fetch,
)
from trading_platform.market_data.files import FilesMarketData, LoadedFiles
from trading_platform.market_data.notices import fold, plural, shown
from trading_platform.market_data.own_files import write_panel
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.providers import exchange_of, reading_rules
from trading_platform.market_data.schedule import exchange_zone
from trading_platform.market_data.vix import VixService, YahooVix, cboe, fred
from trading_platform.market_data.yahoo import FIRST_DAY, index_closes
from trading_platform.reporting.wrapping import wrapped

READABLE, REFUSED = 0, MarketDataError.exit_code
SHORT_HISTORY = ANNUAL_SESSIONS  # strategies look back a year
PICTURE_WIDTH, PRICES_WIDTH = 68, 11  # characters: a picture with its prices fits a screen of 80
MISSPELT: Any = typer.BadParameter.__base__  # a wrong word, option or value; typer names only this one of them
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `data check` found out about one folder (or several read together)."""

    name: str
    panel: MarketPanel | None
    files: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    error: str

    @property
    def exit_code(self) -> int:
        """0 if the data can be read, 6 if not."""
        return READABLE if self.panel is not None else REFUSED

    def to_dict(self) -> dict[str, object]:
        """Return the result as JSON values."""
        panel = self.panel
        folded = fold(() if panel is None else panel.warnings)
        return {
            "folder": self.name,
            "readable": panel is not None,
            "error": self.error or None,
            "verdict": "refused" if panel is None else folded.verdict.removeprefix("data: "),
            "tickers": 0 if panel is None else panel.n_tickers,
            "sessions": 0 if panel is None else panel.n_sessions,
            "first": None if panel is None else panel.session(0).isoformat(),
            "last": None if panel is None else panel.session(-1).isoformat(),
            "is_short": panel is not None and panel.n_sessions < SHORT_HISTORY,
            "files": [{"file": name, "holds": use} for name, use in self.files],
            "left_out": [{"file": name, "why": why} for name, why in self.left_out],
            "attention": list(folded.attention),
            "warnings": [] if panel is None else list(panel.warnings),
        }


def check(
    folders: Sequence[Path], data: DataConfig, *, together: bool = False, now: Callable[[], datetime] = utc_now
) -> list[CheckResult]:
    """Return what each of `folders` holds, or what all of them do together, as ``--data-dir`` reads them."""
    groups: list[tuple[Path, ...]] = [tuple(folders)] if together else [(folder,) for folder in folders]
    return [_check_one(group, data, now) for group in groups]


def files_market(folders: Sequence[Path], data: DataConfig, now: Callable[[], datetime] = utc_now) -> FilesMarketData:
    """Return the provider of some folders, read as the settings say; the benchmark is a column."""
    exchange = exchange_of(replace(data, source="files", folder=tuple(str(folder) for folder in folders)))
    return FilesMarketData(
        folders,
        benchmark=data.benchmark,
        exchange=exchange,
        with_benchmark=True,
        rules=reading_rules(data, exchange_zone(exchange.calendar)),
        max_bad_pct=data.max_bad_bars_pct,
        accepted_jumps=data.accepted_jumps,
        now=now,
    )


def check_lines(result: CheckResult, *, verbose: bool = False) -> list[str]:
    """Return the result in words: three lines, and what deserves to be read at once."""
    if result.panel is None:
        return [f"{result.name}: REFUSED", *(f"  {line}" for line in result.error.splitlines())]
    panel = result.panel
    folded = fold(panel.warnings)
    guessed = [text for text in folded.attention if text.startswith("guessed")]
    urgent = [text for text in folded.attention if text not in guessed]
    forms = [text.partition(": ")[2] for text in folded.rest if text.startswith("read: ")]
    understood = f"; {'; '.join(forms)}" if forms else ""
    files = [f"{name} ({why})" for name, why in result.left_out]
    left = [*([shown(files, 4)] if files else []), *_without_lead(folded.rest, "left out")]
    unknown = _without_lead(folded.rest, "unknown")
    lines = [
        f"{result.name}: {folded.verdict.removeprefix('data: ')}",
        f"  read      {_size(panel)}, {panel.session(0)} to {panel.session(-1)}, "
        f"from {len(result.files)} {plural(len(result.files), 'file')}{understood}",
        f"  guessed   {'nothing' if not guessed else '; '.join(text.partition(': ')[2] for text in guessed)}",
        f"  left out  {'; '.join(left) or 'nothing'}",
    ]
    lines += [f"  unknown   {'; '.join(unknown)}"] if unknown else []
    lines += [f"  {text}" for text in urgent]
    if panel.n_sessions < SHORT_HISTORY:
        lines.append(
            f"  short     {panel.n_sessions} sessions; strategies look back up to {SHORT_HISTORY} "
            "and stay out until then"
        )
    more = [text for text in folded.rest if not text.startswith(("read: ", "left out: ", "unknown: "))]
    if verbose:
        lines += [f"  {text}" for text in more]
    elif more:
        lines.append("  --verbose shows every remark")
    return lines


def convert(folders: Sequence[Path], out: Path, data: DataConfig, now: Callable[[], datetime] = utc_now) -> list[str]:
    """Write what `folders` hold into `out` in the platform's own form; return what was written, in words.

    Raises
    ------
    MarketDataError
        The folders cannot be read, or what was written reads back as something else.
    FixConfigError
        `out` is not empty or cannot be written.
    """
    panel = files_market(folders, data, now).history()
    names = write_panel(panel, out)
    again = files_market(
        [out], DataConfig(max_bad_bars_pct=data.max_bad_bars_pct, accepted_jumps=data.accepted_jumps), now
    )
    if again.history().data_hash != panel.data_hash:
        raise MarketDataError(
            f"{out}: what was written reads back as another panel; keep the original folder and tell us"
        )
    return [
        f"{out}: {_size(panel)} in {', '.join(names)}",
        f"checked: it reads back the same ({panel.data_hash[:16]})",
    ]


def download(
    question: Question,
    out: Path,
    data: DataConfig,
    fetch: Fetch,
    vix: Callable[[date, date], VixHistory | None],
    say: Say,
    now: Callable[[], datetime] = utc_now,
) -> list[str]:
    """Fetch bars into `out`, check them, and return what is there, in words.

    Raises
    ------
    MarketDataError
        No answer, or what came cannot be traded on.
    FixConfigError
        `out` holds something else, or the dates are the wrong way round.
    """
    if question.last < question.first:
        raise FixConfigError(f"--to {question.last} lies before --from {question.first}")
    if not question.tickers:
        raise FixConfigError("no tickers to fetch: name some, separated by commas, e.g. AAPL,MSFT")
    without = download_bars_into(out, question, fetch, vix, say)
    result = _check_one((out,), data, now)
    lines = check_lines(result)
    if without:
        lines.append(f"  no bars of {', '.join(without)}; check the spelling")
    if result.panel is None:
        raise MarketDataError("\n".join(lines))
    return [*lines, f"next: python autonomous_trading_engine.py --data-dir {out}"]


def picture_lines(
    panel: MarketPanel, ticker: str, width: int = PICTURE_WIDTH, height: int = 14, *, plain: bool = False
) -> list[str]:
    """Return a ticker's closes drawn in characters, highest first, with the ends named.

    Parameters
    ----------
    panel, ticker
        Whose closes.
    width, height
        Of the drawing, in characters; the prices beside it take another `PRICES_WIDTH`.
    plain
        True uses ASCII alone.

    Raises
    ------
    MarketDataError
        There is no such ticker, or it has no bar.
    """
    column = _column(panel, ticker)
    closes = panel.close[:, column]
    known = [(t, value) for t, value in enumerate(closes.tolist()) if value == value]
    if not known:
        raise MarketDataError(f"{ticker} has no bar in {panel.source}")
    low, high = min(value for _, value in known), max(value for _, value in known)
    cells: list[list[str]] = [[" "] * width for _ in range(height)]
    for t, value in known:
        x = t * (width - 1) // max(1, panel.n_sessions - 1)
        y = round((high - value) / (high - low) * (height - 1)) if high > low else height // 2
        cells[y][x] = "*" if plain else "•"
    marks = [f"{high:>10.2f} ", *([" " * PRICES_WIDTH] * (height - 2)), f"{low:>10.2f} "]
    first, last = panel.session(known[0][0]), panel.session(known[-1][0])
    dates = " " * PRICES_WIDTH + str(first) + str(last).rjust(width - 10)
    change = known[-1][1] / known[0][1] - 1.0
    title = f"{ticker}  {len(known)} bars, close {known[-1][1]:.2f} on {last} ({change:+.1%} in all)"
    return [title, *(mark + "".join(row).rstrip() for mark, row in zip(marks, cells, strict=True)), dates]


def write_picture(panel: MarketPanel, ticker: str, path: Path) -> None:
    """Draw a ticker's closes into an SVG file, or a PNG file where matplotlib is there.

    Raises
    ------
    FixConfigError
        Another kind of file, matplotlib is missing, or the file cannot be written.
    """
    column = _column(panel, ticker)
    points = [(t, float(value)) for t, value in enumerate(panel.close[:, column]) if value == value]
    try:
        match path.suffix.lower():
            case ".svg":
                path.write_text(_svg(panel, ticker, points), encoding="utf-8")
            case ".png":
                _png(panel, ticker, points, path)
            case _:
                raise FixConfigError(f"{path}: a picture is a .svg or a .png file")
    except OSError as error:
        raise FixConfigError(f"{path} cannot be written ({error}); check the folder") from error


def _check_one(folders: Sequence[Path], data: DataConfig, now: Callable[[], datetime]) -> CheckResult:
    name = " + ".join(str(folder) for folder in folders)
    try:
        reading: LoadedFiles = files_market(folders, data, now).read()
    except MarketDataError as error:
        return CheckResult(name, None, (), (), str(error))
    files = tuple(use for folder in reading.folders for use in folder.uses)
    left = tuple(skipped for folder in reading.folders for skipped in folder.skipped)
    return CheckResult(name, reading.panel, files, left, "")


def _without_lead(texts: Sequence[str], group: str) -> list[str]:
    """Return the notices of one group that no other line tells: left-out files have names of their own."""
    told = (text.removeprefix(f"{group}: ") for text in texts if text.startswith(f"{group}: "))
    return [text for text in told if re.match(r"[\d,]+ files? ", text) is None]


def _size(panel: MarketPanel) -> str:
    tickers, sessions = plural(panel.n_tickers, "ticker"), plural(panel.n_sessions, "session")
    return f"{panel.n_tickers} {tickers}, {panel.n_sessions} {sessions}"


def _column(panel: MarketPanel, ticker: str) -> int:
    if ticker not in panel.tickers:
        raise MarketDataError(f"ticker {ticker!r} is not in {panel.source}; it has {shown(panel.tickers, 8)}")
    return panel.tickers.index(ticker)


def _svg(panel: MarketPanel, ticker: str, points: Sequence[tuple[int, float]]) -> str:
    width, height, left, top = 900.0, 360.0, 70.0, 30.0
    low, high = min(value for _, value in points), max(value for _, value in points)
    scale = (high - low) or 1.0
    last = max(1, panel.n_sessions - 1)
    drawn = " ".join(
        f"{left + t / last * (width - left - 20):.1f},{top + (high - value) / scale * (height - top - 40):.1f}"
        for t, value in points
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{left:g}" y="20" font-weight="bold">{ticker}, daily closes, {panel.session(0)} to '
        f"{panel.session(-1)}</text>"
        f'<text x="8" y="{top + 5:g}">{high:,.2f}</text><text x="8" y="{height - 40:g}">{low:,.2f}</text>'
        f'<polyline fill="none" stroke="#2563eb" stroke-width="1.5" points="{drawn}"/></svg>\n'
    )


def _png(panel: MarketPanel, ticker: str, points: Sequence[tuple[int, float]], path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FixConfigError(
            f"{path}: a PNG needs the package matplotlib; run pip install matplotlib, or name a .svg"
        ) from error
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(
        [panel.sessions[t].item() for t, _ in points], [value for _, value in points], color="#2563eb", linewidth=1.2
    )
    axes.set_title(f"{ticker}, daily closes", loc="left")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _first_day(text: str) -> date:
    return _day(text, last=False)


def _last_day(text: str) -> date:
    return _day(text, last=True)


def _day(text: str, *, last: bool) -> date:
    try:
        return written_day(text, last=last)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Folders = Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders with daily bars.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; trading.toml is taken if it exists."),
]
DataDirs = Annotated[
    list[Path] | None, typer.Option("--data-dir", metavar="DIR", help="Folder with daily bars; several count in order.")
]

data_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Check, convert, fetch and look at daily bars.",
)


@data_app.command("check")
def check_command(
    folders: Folders,
    together: Annotated[bool, typer.Option("--together", help="Read the folders as one, as --data-dir does.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Every remark.")] = False,
    config: ConfigFile = None,
) -> int:
    """Say whether folders can be read, what was guessed and left out.

    Exit 0, or 6 if one is refused.
    """
    results = check(folders, _config(config).data, together=together)
    code = max(result.exit_code for result in results)
    if as_json:
        _print_json({"readable": code == READABLE, "folders": [result.to_dict() for result in results]})
    else:
        for result in results:
            _print(check_lines(result, verbose=verbose))
    return code


@data_app.command("convert")
def convert_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with daily bars.")],
    out: Annotated[Path, typer.Argument(metavar="NEW_DIR", help="Where they go; nothing is overwritten.")],
    config: ConfigFile = None,
) -> int:
    """Write a folder in the platform's own form into a new one."""
    _print(convert([folder], out, _config(config).data))
    return READABLE


@data_app.command("download")
def download_command(
    tickers: Annotated[str, typer.Argument(metavar="LIST", help="Tickers, separated by commas.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the bars.")] = Path("bars"),
    first: Annotated[
        date | None,
        typer.Option("--from", parser=_first_day, metavar="DATE", help=f"First day. Default: {FIRST_DAY}."),
    ] = None,
    last: Annotated[
        date | None,
        typer.Option("--to", parser=_last_day, metavar="DATE", help="Last day. Default: the newest complete session."),
    ] = None,
    source: Annotated[str, typer.Option(metavar="NAME", help="yahoo or alpaca.")] = "yahoo",
    config: ConfigFile = None,
) -> int:
    """Fetch daily bars and VIX into a folder.

    After a break the same command goes on where it was.
    """
    calendar, settings = NyseCalendar(), _config(config)
    newest = calendar.last_completed_session(utc_now())
    names = tuple(name.strip().upper() for name in tickers.split(",") if name.strip())
    asked = Question(
        source,
        names,
        FIRST_DAY if first is None else first,
        newest if last is None else min(last, newest),
    )
    vix = VixService([cboe(), fred(), YahooVix(index_closes)], None, calendar)
    lines = download(asked, out, settings.data, _fetch(source, settings, calendar), vix.history, _tell)
    _print([*vix.notices, *lines])
    return READABLE


@data_app.command("show")
def show_command(
    ticker: Annotated[str, typer.Argument(metavar="TICKER", help="Whose closes.")],
    folders: DataDirs = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Draw into a .svg or .png file as well.")
    ] = None,
    config: ConfigFile = None,
) -> int:
    """Draw a ticker's closes in the terminal, and into a file.

    Raises
    ------
    FixConfigError
        No folder is named.
    """
    data = _config(config).data
    places = folders or list(data.folders)
    if not places:
        raise FixConfigError("no data folder: give --data-dir, or folder in [data] of trading.toml")
    panel = files_market(places, data).history()
    encoding = (sys.stdout.encoding or "ascii").lower()
    width = min(PICTURE_WIDTH, shutil.get_terminal_size().columns - PRICES_WIDTH - 1)
    _print(picture_lines(panel, ticker.upper(), width, plain=not encoding.startswith("utf")))
    if file is not None:
        write_picture(panel, ticker.upper(), file)
        _print([f"drawn into {file}"])
    return READABLE


def _fetch(source: str, config: TradingConfig, calendar: NyseCalendar) -> Fetch:
    match source:
        case "yahoo":
            return yahoo_fetch()
        case "alpaca":
            from trading_platform.market_data.alpaca_data import open_alpaca_data

            provider = open_alpaca_data(config, load_settings(), calendar, utc_now)
            return panel_fetch(provider.history)
        case _:
            raise FixConfigError(f"--source must be yahoo or alpaca, was {source!r}")


def _config(path: Path | None) -> TradingConfig:
    return load_config(config_path(path))


def _tell(text: str) -> None:
    print(wrapped(text, sys.stderr), file=sys.stderr)  # noqa: T201 - progress of a command


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(wrapped(line, sys.stdout))  # noqa: T201 - what the command was asked for


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2, allow_nan=False))  # noqa: T201 - what the command was asked for


def data_main(words: Sequence[str]) -> int:
    """Run `data ...` and return its exit code; what is misspelt is one sentence and exit 2.

    Raises
    ------
    FixConfigError
        What is misspelt, with what may have been meant.
    """
    from typer.main import get_command  # its own parser: nothing here touches an account

    command = get_command(data_app)
    try:
        code = command.main(list(words), prog_name="python autonomous_trading_engine.py data", standalone_mode=False)
    except MISSPELT as error:
        cure = "see python autonomous_trading_engine.py data --help"
        raise FixConfigError(f"data: {error.format_message().rstrip('.')}; {cure}") from error
    return int(code or 0)
