"""Whose account a command trades: nobody's (a replay), a simulated one, an Alpaca paper account, or real money."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from trading_platform.configuration.environment import LIVE_CONFIRMATION, Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError, OperatorNeededError
from trading_platform.core.ports import BrokerAccount
from trading_platform.runtime.trade_settings import TradeOptions

if TYPE_CHECKING:  # its HTTP library is nothing to a replay
    from trading_platform.alpaca.reader import AlpacaReader

ALPACA, YAHOO, FILES = "alpaca", "yahoo", "files"
ASKED_AGAIN = 2  # times, before a start believes that an account cannot be traded
PAPER_ACCOUNT_OPTIONS = frozenset({"--capital", "--cost-bps", "--fills"})  # they set up the local paper account, too


class Whose(StrEnum):
    """Whose money an engine moves."""

    NOBODYS = "replay"
    SIMULATED = "paper"
    BROKERS = "alpaca"


class Choice(NamedTuple):
    """Whose account, and where bars come from: `source` is None where the settings file's counts."""

    whose: Whose
    source: str | None


def chosen_account(options: TradeOptions, settings: Settings, config: TradingConfig) -> Choice:
    """Return whose account the command trades, and on which bars.

    Any option that only a replay knows makes it a replay, which never reaches an account, whatever the source. Without
    one, Alpaca's keys mean its account unless another market is named, and Yahoo means the local paper account, which
    ``--capital``, ``--cost-bps`` and ``--fills`` set up.

    Raises
    ------
    FixConfigError
        Options that contradict each other, `trade` without an account, or --live without all that real money needs.
    """
    if options.data_dirs and options.source not in (None, FILES):
        raise FixConfigError(
            f"--data-dir is a folder of files, and --source {options.source} has its own bars: one of the two"
        )
    source = options.source or (FILES if options.data_dirs else None)
    past = options.replay_options()
    is_yahoo = (source or config.data.source) == YAHOO
    if options.command == "replay" or (past and not (is_yahoo and PAPER_ACCOUNT_OPTIONS.issuperset(past))):
        _check_replay(options, past)
        return Choice(Whose.NOBODYS, source)
    if source is None and config.data.source == "synthetic" and settings.has_alpaca_keys:
        source = ALPACA
    if options.live:
        _check_live(settings, source or config.data.source)
    match source or config.data.source:
        case "alpaca":
            choice = Choice(Whose.BROKERS, source)
        case "yahoo":
            choice = Choice(Whose.SIMULATED, source)
        case other:
            if options.command == "trade":
                raise FixConfigError(
                    f"trade needs an account, and {other} bars are past ones: set ALPACA_API_KEY and ALPACA_SECRET_KEY"
                    ", or say --source yahoo for a local paper account, or replay"
                )
            return Choice(Whose.NOBODYS, source)
    if options.opens:
        raise FixConfigError("--open shows a replay's page, and this trades an account: say page ID --open beside it")
    if options.json and not options.once:
        raise FixConfigError(
            "--json: an engine that trades does not end; say --once as well, or status --json beside it"
        )
    return choice


def _check_replay(options: TradeOptions, past: list[str]) -> None:
    word = "--live" if options.live else "trade" if options.command == "trade" else ""
    if word:
        raise FixConfigError(
            f"{', '.join(past)} makes it a replay, which never reaches an account, and {word} trades one: leave out "
            "the one or the other"
        )


def _check_live(settings: Settings, source: str) -> None:
    missing = []
    if not settings.has_alpaca_keys:
        missing.append("ALPACA_API_KEY and ALPACA_SECRET_KEY of the live account, in the environment or .env")
    if not settings.allow_live:
        missing.append(f"TRADING_ALLOW_LIVE={LIVE_CONFIRMATION}, in the environment or .env")
    if settings.has_alpaca_keys and source != ALPACA:
        missing.append("Alpaca as the market: leave out --data-dir, --source, --start, --end and --seed")
    if missing:
        raise FixConfigError("--live trades real money; missing:\n" + "\n".join(f"  - {line}" for line in missing))


def asked_account(reader: AlpacaReader) -> BrokerAccount:
    """Return the account as Alpaca shows it; one that could not be traded is asked for again before that is believed.

    A start that such an answer ends stays down until somebody looks, so a single one of them must not be enough.

    Raises
    ------
    FixCredentialsError, BrokerUnreachableError
        As `AlpacaReader.account`.
    """
    account = reader.account()
    for _ in range(ASKED_AGAIN):
        if not account.is_blocked and account.cash is not None and account.cash > 0.0:
            break
        account = reader.account()
    return account


def open_account(reader: AlpacaReader, settings: Settings, *, live: bool, name: str = "") -> BrokerAccount:
    """Return the Alpaca account that the keys open, and say on standard error which one it is.

    Raises
    ------
    FixCredentialsError
        Alpaca refused the keys: wrong, revoked, or of the other kind of account.
    BrokerUnreachableError
        No answer.
    OperatorNeededError
        The account may not trade.
    """
    account = asked_account(reader)
    called = f" {name!r}" if name else ""
    where = "" if settings.alpaca_base_url is None else f" at {settings.alpaca_base_url}"
    equity = "unknown" if account.equity is None else f"${account.equity:,.2f}"
    screen = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    if live:
        title = f"*** REAL MONEY *** Alpaca live account {account.account_id}{called}"
        screen.print(f"{title}{where}, equity {equity}", style="bold")
    else:
        screen.print(f"Alpaca paper account {account.account_id}{called}{where}, equity {equity}; no real money")
    if account.is_blocked:
        raise OperatorNeededError(
            f"Alpaca account {account.account_id} is blocked from trading: look at it in Alpaca's dashboard"
        )
    return account
