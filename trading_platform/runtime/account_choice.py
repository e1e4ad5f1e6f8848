"""Whose account a command trades: nobody's (a replay), a simulated one, an Alpaca paper account, or real money."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from trading_platform.configuration.environment import LIVE_CONFIRMATION, Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError, OperatorNeededError
from trading_platform.core.ports import BrokerAccount
from trading_platform.runtime.trade_settings import TradeOptions

if TYPE_CHECKING:  # its HTTP library is nothing to a replay
    from trading_platform.alpaca.reader import AlpacaReader

ALPACA = "alpaca"


def with_account(options: TradeOptions, settings: Settings, config: TradingConfig) -> TradeOptions:
    """Return `options` with Alpaca as the source where there are keys and nothing asks for another market.

    Another market is asked for by --source, by --data-dir, by ``source`` in [data], or by what only a replay knows:
    --start, --end and --seed.

    Raises
    ------
    FixConfigError
        --live without all that real money needs.
    """
    replay = options.data_dir or options.start or options.end or options.seed is not None
    silent = options.source is None and config.data.source == "synthetic" and not replay
    if silent and settings.has_alpaca_keys:
        options = replace(options, source=ALPACA)
    if options.live:
        _check_live(options, settings, config)
    return options


def _check_live(options: TradeOptions, settings: Settings, config: TradingConfig) -> None:
    missing = []
    if not settings.has_alpaca_keys:
        missing.append("ALPACA_API_KEY and ALPACA_SECRET_KEY of the live account, in the environment or .env")
    if not settings.allow_live:
        missing.append(f"TRADING_ALLOW_LIVE={LIVE_CONFIRMATION}, in the environment or .env")
    if settings.has_alpaca_keys and ALPACA not in (options.source, config.data.source):
        missing.append("Alpaca as the market: leave out --data-dir, --source, --start, --end and --seed")
    if missing:
        raise FixConfigError("--live trades real money; missing:\n" + "\n".join(f"  - {line}" for line in missing))


def open_account(reader: AlpacaReader, settings: Settings, *, live: bool) -> BrokerAccount:
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
    account = reader.account()
    where = "" if settings.alpaca_base_url is None else f" at {settings.alpaca_base_url}"
    equity = "unknown" if account.equity is None else f"${account.equity:,.2f}"
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    if live:
        name = f"*** REAL MONEY *** Alpaca live account {account.account_id}"
        screen.print(f"{name}{where}, equity {equity}", style="bold")
    else:
        screen.print(f"Alpaca paper account {account.account_id}{where}, equity {equity}; no real money")
    if account.is_blocked:
        raise OperatorNeededError(
            f"Alpaca account {account.account_id} is blocked from trading: look at it in Alpaca's dashboard"
        )
    return account
