"""The commands of the engine and the options that each of them heeds: one table, read by the parser and by `--help`.

An option means the same everywhere, and may stand before or after its command. What a command's row does not name is
refused: no option is taken and then forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an option's value is; a flag has none. A first day may be a year or a month, and so may a last one."""

    FLAG = "flag"
    TEXT = "text"
    FILE = "file"
    NUMBER = "number"
    WHOLE = "whole number"
    FIRST_DAY = "first day"
    LAST_DAY = "last day"


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `value` is what stands for its value in the help; `repeats` if it may be given several times."""

    name: str
    kind: Kind
    help: str
    value: str = ""
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words (none: the bare command), what it does, the options that it heeds, and its argument.

    `subject` is what stands behind the command without an option's name; in brackets it may be left out.
    """

    words: str
    help: str
    options: tuple[str, ...]
    subject: str = ""

    @property
    def needs_subject(self) -> bool:
        """True if the argument must be given."""
        return bool(self.subject) and not self.subject.startswith("[")


OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option(
            "--db", Kind.TEXT, "Database: a file or a URL. Default: DATABASE_URL, trading.toml, trading.db.", "FILE"
        ),
        Option("--config", Kind.FILE, "Settings file. Default: trading.toml, if it is there.", "FILE"),
        Option("--data-dir", Kind.FILE, "Folder with daily bars; the source is then files.", "DIR", repeats=True),
        Option("--source", Kind.TEXT, "Where bars come from: synthetic, files, yahoo or alpaca.", "NAME"),
        Option("--tickers", Kind.TEXT, "Only these tickers, separated by commas.", "LIST"),
        Option("--start", Kind.FIRST_DAY, "First session that is traded.", "DATE"),
        Option("--end", Kind.LAST_DAY, "Last session that is traded.", "DATE"),
        Option("--from", Kind.FIRST_DAY, "First day of which bars are fetched.", "DATE"),
        Option("--to", Kind.LAST_DAY, "Last day of which bars are fetched.", "DATE"),
        Option("--capital", Kind.NUMBER, "Dollars to start with. Default: 100000.", "DOLLARS"),
        Option(
            "--seed", Kind.WHOLE, "Seed of the embedded market, the regime model, realistic fills. Default: 7.", "N"
        ),
        Option("--cost-bps", Kind.NUMBER, "Half spread plus slippage, basis points. Default: 5.", "BPS"),
        Option("--fills", Kind.TEXT, "exact, or realistic: auction, partial fills, slipping stops.", "HOW"),
        Option("--vix", Kind.TEXT, "required, or realized: from the bars where there is no VIX.", "HOW"),
        Option("--allocation", Kind.TEXT, "Split capital by hand: equal, NAME, or NAME=0.6,NAME=0.4.", "SPLIT"),
        Option("--once", Kind.FLAG, "One look (of a replay: one session), then stop."),
        Option("--live", Kind.FLAG, "Real money; needs TRADING_ALLOW_LIVE as well."),
        Option("--broker", Kind.FLAG, "Try one order far from the market: place, read, replace, cancel it."),
        Option("--json", Kind.FLAG, "Print exactly one JSON value."),
        Option("--no-page", Kind.FLAG, "Write no page of the replay."),
        Option("--open", Kind.FLAG, "Show the page in a browser."),
        Option("--quiet", Kind.FLAG, "No progress, only what was found and the summary."),
        Option("--run", Kind.WHOLE, "The run meant, by its number.", "ID"),
        Option("--account", Kind.TEXT, "The account meant: its [account] name or its number at the broker.", "NAME"),
        Option("--all", Kind.FLAG, "All of them."),
        Option("--reason", Kind.TEXT, "Why; it is recorded with your name.", "TEXT"),
        Option("--yes", Kind.FLAG, "Do not ask."),
        Option("--plan", Kind.FLAG, "Show what would change, and change nothing."),
        Option("--no-wait", Kind.FLAG, "Record the command and return; do not wait until it is obeyed."),
        Option("--universes", Kind.WHOLE, "Random universes. Default: 20.", "N"),
        Option("--universe-size", Kind.WHOLE, "Stocks in each. Default: 60.", "N"),
        Option("--jobs", Kind.WHOLE, "Processes. Default: as many as there are cores.", "N"),
        Option("--port", Kind.WHOLE, "Port of the desk. Default: 8765.", "N"),
        Option("--host", Kind.TEXT, "Address that the desk listens on. Default: 127.0.0.1, this machine only.", "IP"),
        Option("--name", Kind.TEXT, "Host names by which the desk is reached, separated by commas.", "LIST"),
        Option("--password-file", Kind.FILE, "Who may come in; `desk password` and `desk token` write it.", "FILE"),
        Option("--behind-tls", Kind.FLAG, "A proxy that speaks TLS stands before the desk."),
        Option("--metrics", Kind.FLAG, "Serve /metrics to those with a token."),
        Option("--role", Kind.TEXT, "viewer or operator. Default: viewer.", "ROLE"),
        Option(
            "--cluster", Kind.TEXT, "Split the work over a Ray cluster: ray://HOST:PORT, HOST:PORT, or auto.", "WHERE"
        ),
        Option("--bot-api", Kind.TEXT, "A Bot API server of your own. Default: Telegram's.", "URL"),
        Option("--keep", Kind.WHOLE, "Backups that are kept; older ones go. Default: 14.", "N"),
    )
}

_WHERE = ("--db", "--config")
_SCREEN = ("--json", "--quiet")
_PAGE = ("--no-page", "--open")
_MARKET = ("--source", "--tickers", "--vix", "--allocation", "--once")
_REPLAY = ("--data-dir", "--start", "--end", "--from", "--to", "--capital", "--seed", "--cost-bps", "--fills")
_TARGET = ("--run", "--account", "--all")
_ASK = ("--reason", "--no-wait", *_TARGET, *_WHERE)

COMMANDS: dict[str, Command] = {
    command.words: command
    for command in (
        Command(
            "",
            "With Alpaca keys: trade the paper account. Without, or with a replay's option: replay.",
            (*_MARKET, *_REPLAY, "--live", *_WHERE, *_PAGE, *_SCREEN),
        ),
        Command(
            "trade",
            "Trade an account: Alpaca's, or with --source yahoo a local paper account.",
            (*_MARKET, "--capital", "--cost-bps", "--fills", "--live", *_WHERE, *_SCREEN),
        ),
        Command(
            "replay", "Trade past bars; never reaches an account.", (*_MARKET, *_REPLAY, *_WHERE, *_PAGE, *_SCREEN)
        ),
        Command(
            "evaluate",
            "Judge the book on many random universes, beside what anybody could have held; a page goes to reports/.",
            (
                "--source",
                "--data-dir",
                "--tickers",
                "--start",
                "--end",
                "--universes",
                "--universe-size",
                "--cost-bps",
                "--fills",
                "--seed",
                "--capital",
                "--vix",
                "--jobs",
                "--cluster",
                "--config",
                *_PAGE,
                *_SCREEN,
            ),
        ),
        Command(
            "search",
            "Search settings by the trials that a TOML file asks for; outer years, unseen by trials, judge the best.",
            (
                "--source",
                "--data-dir",
                "--tickers",
                "--cost-bps",
                "--fills",
                "--capital",
                "--vix",
                "--jobs",
                "--cluster",
                "--config",
                *_SCREEN,
            ),
            "FILE",
        ),
        Command("search show", "What a search has found.", ("--json", "--config"), "FILE"),
        Command(
            "search adopt",
            "Show which settings the best trial would change; with --yes write them into the settings file.",
            ("--yes", "--config"),
            "FILE",
        ),
        Command("status", "Show an account now: equity, halts, positions, engine.", (*_TARGET, "--json", *_WHERE)),
        Command("halt", "Open nothing new until `resume`; what is held may be closed.", _ASK),
        Command("resume", "End a halt, a pause by losses, a flatten, or a fault of the risk memory.", _ASK),
        Command(
            "flatten", "Close every position, or one, at the open after the next close.", (*_ASK, "--yes"), "[TICKER]"
        ),
        Command("pause", "One strategy opens nothing new until `unpause`.", _ASK, "STRATEGY"),
        Command("unpause", "Let a paused strategy go on.", _ASK, "STRATEGY"),
        Command("stop", "End an account's engine; orders at the broker stay, and nobody watches them.", _ASK),
        *(
            Command(words, told, (*_ASK, "--json"), "[TICKER]")
            for words, told in (
                ("consent", "Let entries that wait for the next open go: all, or one ticker's ([engine] consent)."),
                ("veto", "Keep entries that wait for the next open back: all, or one ticker's ([engine] consent)."),
            )
        ),
        Command(
            "telegram",
            "Listen to a Telegram bot: status, why, halt, consent; for the configured chat and users only.",
            ("--bot-api", *_WHERE),
        ),
        Command("mcp", "Answer agents (Model Context Protocol, over standard input and output); read-only.", _WHERE),
        Command("runs list", "Every run in the database, the newest first; so does `runs` alone.", ("--json", *_WHERE)),
        Command("runs show", "One run, as `status` shows it.", ("--json", *_WHERE), "ID"),
        Command("runs tag", "Put a word on a run; an empty one takes it off.", _WHERE, "ID WORD"),
        Command("runs note", "Write a note to a run; an empty one takes it off.", _WHERE, "ID TEXT"),
        Command("runs delete", "Delete a replay and all its rows.", ("--yes", *_WHERE), "ID"),
        Command(
            "page",
            "Write a run's page, reports/run-ID.html, anew; every replay writes one at its end.",
            ("--open", "--json", *_WHERE),
            "ID",
        ),
        *(
            Command(
                words,
                "Compare 2 to 6 runs: figures, what luck could do to their differences, settings; and a page of it.",
                (*_PAGE, "--json", *_WHERE),
                "ID ID ...",
            )
            for words in ("compare", "runs compare")
        ),
        Command(
            "doctor",
            "Check keys, account, clock, data, VIX, database, disk, model; say what to mend.",
            ("--broker", "--live", "--yes", "--json", *_WHERE),
        ),
        Command(
            "desk",
            "Show accounts, risk, runs and orders in a browser, live; operators can halt and resume there.",
            ("--port", "--host", "--name", "--password-file", "--behind-tls", "--metrics", *_WHERE),
        ),
        Command("desk password", "Let NAME in by a password, asked for.", ("--role", "--password-file"), "NAME"),
        Command("desk token", "Make a token for programs that read /api/v1.", ("--role", "--password-file"), "NAME"),
        Command(
            "backup",
            "Copy the database, beside a running engine, and check the copy. Default folder: backups.",
            ("--keep", "--json", *_WHERE),
            "[DIR]",
        ),
        Command(
            "alerts test",
            "Send one test alert to every channel that is set up, and say what became of it.",
            ("--bot-api", "--config", "--json"),
        ),
        Command(
            "strategies list", "Every strategy: where from, whether it trades, what it does.", ("--config", "--json")
        ),
        Command(
            "strategies test",
            "Try one strategy: no foresight, enough history, splits, speed, engine and kernel alike.",
            ("--data-dir", "--config", "--json"),
            "NAME",
        ),
        Command("new strategy", "Begin a strategy of your own, with its tests.", ("--config",), "NAME"),
        Command("init", "Make a folder to work in: settings, keys, strategies; overwrites nothing.", (), "DIR"),
        Command("completion", "Print the script by which bash, zsh or fish completes these commands.", (), "SHELL"),
        Command(
            "adopt",
            "Take over an Alpaca account that this engine traded with a database now lost.",
            ("--source", "--tickers", "--live", "--yes", "--json", *_WHERE),
        ),
        Command(
            "upgrade",
            "Let an account go over to the strategies of today: what is sold and bought, at last prices, then ask.",
            ("--plan", "--reason", "--source", "--tickers", "--live", "--yes", "--json", *_WHERE),
        ),
        Command(
            "db repair",
            "Show rows that no engine can use; after a backup put them right or set them aside.",
            ("--yes", "--json", *_WHERE),
        ),
        Command(
            "db copy",
            "Copy a database, FROM and TO a file or a URL, and compare every row; TO must be empty.",
            ("--json",),
            "FROM TO",
        ),
        Command("fleet", "Check the accounts that a fleet's file names, together.", ("--json",), "FILE"),
        Command("fleet systemd", "Write the units of a fleet beside the template unit in DIR.", (), "FILE DIR"),
        Command("fleet compose", "Write the services of a fleet, to be used with deploy/compose.yaml.", (), "FILE OUT"),
        Command("restore", "Put a backup in the database's place; no engine may run.", ("--yes", *_WHERE), "FILE"),
    )
}

ALIASES = {"runs": "runs list", "strategies": "strategies list"}

# Commands that have a command line of their own, because they touch no account, and what they do.
OWN_LINES = {"data": "Check, convert, fetch and look at folders of daily bars; see `data --help`."}

# What people of other programs type.
SAME_AS = {
    "backtest": "replay",
    "simulate": "replay",
    "run": "replay",
    "live": "trade --live",
    "paper": "trade",
    "start": "trade",
    "stopentry": "halt",
    "sell": "flatten",
    "close": "flatten",
    "liquidate": "flatten",
    "forceexit": "flatten",
    "forcesell": "flatten",
    "list": "runs list",
    "health": "doctor",
    "check": "doctor",
}

# Words of the other programs, which have their own options.
ELSEWHERE = {
    "train": "python train_rl_model.py",
    "models": "python train_rl_model.py models",
    "report": "python daily_report.py",
}
