"""Whose account a command trades: nobody's (a replay), a simulated one, Alpaca's, or one at a broker of one's own."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from trading_platform.configuration.environment import LIVE_CONFIRMATION, Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError, OperatorNeededError
from trading_platform.core.ports import BrokerAccount
from trading_platform.market_data.load_panel import REAL_MARKETS
from trading_platform.runtime.trade_settings import TradeOptions

if TYPE_CHECKING:  # its HTTP library is nothing to a replay
    from trading_platform.alpaca.reader import AlpacaReader

ALPACA, YAHOO, FILES, SYNTHETIC = "alpaca", "yahoo", "files", "synthetic"
PAPER = "paper"
GOES_WITH = {ALPACA: ALPACA, YAHOO: PAPER}  # data source -> broker, where none is named
ASKED_AGAIN = 2  # times, before a start believes that an account cannot be traded
PAPER_ACCOUNT_OPTIONS = frozenset({"--capital", "--cost-bps", "--fills"})  # they set up the local paper account, too


class Whose(StrEnum):
    """Whose money an engine moves."""

    NOBODYS = "replay"
    SIMULATED = "paper"
    BROKERS = "alpaca"
    OWN = "own_broker"


class Choice(NamedTuple):
    """Whose account, and where bars come from: `source` is None where the settings file's counts."""

    whose: Whose
    source: str | None


def chosen_account(options: TradeOptions, settings: Settings, config: TradingConfig) -> Choice:
    """Return whose account the command trades, and on which bars.

    Any option that only a replay knows makes it a replay, which never reaches an account, whatever the source. Without
    one, Alpaca's keys mean its bars unless another market is named. The broker is the one that `[broker] name` says,
    else the one that goes with the bars: Alpaca's account, or with Yahoo the local paper account. ``--capital``,
    ``--cost-bps`` and ``--fills`` set up the paper account.

    Raises
    ------
    FixConfigError
        Options that contradict each other, `trade` without an account, a broker beside bars that have ended, or --live
        without all that real money needs.
    """
    if options.data_dirs and options.source not in (None, FILES):
        raise FixConfigError(
            f"--data-dir is a folder of files, and --source {options.source} has its own bars: one of the two"
        )
    source = options.source or (FILES if options.data_dirs else None)
    past = options.replay_options()
    named = config.broker.name
    is_paper = (named or GOES_WITH.get(source or config.data.source)) == PAPER
    if options.command == "replay" or (past and not (is_paper and PAPER_ACCOUNT_OPTIONS.issuperset(past))):
        _check_replay(options, past)
        return Choice(Whose.NOBODYS, source)
    if source is None and config.data.source == SYNTHETIC and (settings.has_alpaca_keys or named == ALPACA):
        source = ALPACA
    bars = source or config.data.source
    if named and bars not in REAL_MARKETS:
        raise FixConfigError(
            f'[broker] name = "{named}" trades a market that goes on, and {bars} bars are past ones: set [data] source '
            '= "alpaca" or "yahoo", or say replay'
        )
    broker = named or GOES_WITH.get(bars, "")
    if options.live:
        _check_live(settings, broker)
    match broker:
        case "":
            if options.command == "trade":
                raise FixConfigError(
                    f"trade needs an account, and {bars} bars are past ones: set ALPACA_API_KEY and ALPACA_SECRET_KEY"
                    ", or say --source yahoo for a local paper account, or replay"
                )
            return Choice(Whose.NOBODYS, source)
        case "alpaca":
            choice = Choice(Whose.BROKERS, source)
        case "paper":
            choice = Choice(Whose.SIMULATED, source)
        case _:
            choice = Choice(Whose.OWN, source)
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


def _check_live(settings: Settings, broker: str) -> None:
    missing = []
    if not settings.has_alpaca_keys:
        missing.append("ALPACA_API_KEY and ALPACA_SECRET_KEY of the live account, in the environment or .env")
    if not settings.allow_live:
        missing.append(f"TRADING_ALLOW_LIVE={LIVE_CONFIRMATION}, in the environment or .env")
    if settings.has_alpaca_keys and broker != ALPACA:
        missing.append("Alpaca as the broker: leave out --data-dir, --source, --start, --end, --seed and [broker] name")
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
