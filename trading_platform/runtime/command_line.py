"""The engine's command line: options only. What a command does is imported when it is needed.

``--help`` and mistakes in options answer before the compiler, pandas or a broker's client is imported.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trading_platform.core.errors import TradingPlatformError
from trading_platform.runtime.trade_settings import TradeOptions

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file; trading.toml is taken if it exists.")]
Database = Annotated[str | None, typer.Option("--db", help="Database file or URL. Default: trading.db.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Reason = Annotated[str, typer.Option(help="Why; it is recorded with your name.")]

EXIT_CODES = """Exit codes: 0 done, 2 wrong setting or option, 3 broker or data service unreachable, 4 database needs
repair, 5 an operator is needed, 6 market data unusable, 7 keys refused, 9 the engine stood still and its watchdog ended
it, 130 stopped by Ctrl-C (state is consistent; the same command continues)."""


def run() -> int:
    """Parse the command line, run the command that it names, and return the exit code."""
    app = _app()
    try:
        code = app(standalone_mode=False)
        return int(code or 0)
    except TradingPlatformError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one place where a command's failure is said
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)  # noqa: T201
        return 130
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        return 130
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the option parser
            error.show()
            return int(error.exit_code)
        raise


def _app() -> typer.Typer:
    app = typer.Typer(
        add_completion=False,
        invoke_without_command=True,
        no_args_is_help=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Autonomous trading engine. Without keys and options it replays 252 sessions of the embedded market.",
        epilog=EXIT_CODES,
    )

    @app.callback()
    def trade(
        context: typer.Context,
        data_dir: Annotated[Path | None, typer.Option(help="Folder with daily bars as CSV or Parquet.")] = None,
        tickers: Annotated[str, typer.Option(help="Only these tickers, separated by commas.")] = "",
        start: Day = None,
        end: Day = None,
        capital: Annotated[float | None, typer.Option(help="Dollars to start with. Default: 100000.")] = None,
        seed: Annotated[int | None, typer.Option(help="Seed of the embedded market. Default: 7.")] = None,
        database: Database = None,
        config: ConfigFile = None,
        cost_bps: Annotated[
            float | None, typer.Option(help="Half spread plus slippage, basis points. Default: 5.")
        ] = None,
        allocation: Annotated[
            str | None, typer.Option(help="Split capital by hand: a strategy's name, or name=weight,name=weight.")
        ] = None,
        source: Annotated[str | None, typer.Option(help="synthetic, files, alpaca or yahoo.")] = None,
        once: Annotated[bool, typer.Option("--once", help="One scan, then stop.")] = False,
        live: Annotated[bool, typer.Option("--live", help="Real money; needs TRADING_ALLOW_LIVE as well.")] = False,
        json: Json = False,
        quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only the summary.")] = False,
    ) -> int:
        if context.invoked_subcommand is not None:
            return 0
        names = tuple(ticker.strip().upper() for ticker in tickers.split(",") if ticker.strip())
        options = TradeOptions(
            data_dir, names, start, end, capital, seed, database, config, cost_bps, allocation, source,
            once, live, json, quiet,
        )  # fmt: skip
        from trading_platform.runtime.trade import trade as trade_account

        return trade_account(options)

    @app.command()
    def status(database: Database = None, config: ConfigFile = None, json: Json = False) -> int:
        """Show account, risk state, halts, open orders and the last heartbeat."""
        from trading_platform.operations.commands import status as show

        return show(database, config, as_json=json)

    @app.command()
    def doctor(
        live: Annotated[bool, typer.Option("--live", help="Look at the live account.")] = False,
        database: Database = None,
        config: ConfigFile = None,
        json: Json = False,
    ) -> int:
        """Check keys, account, clock, calendar, data, VIX, database, disk and model; say what to do about each."""
        from trading_platform.machine.clocks import utc_now
        from trading_platform.operations.doctor import doctor as examine

        return examine(database, config, utc_now, live=live, as_json=json)

    @app.command()
    def halt(reason: Reason, database: Database = None, config: ConfigFile = None) -> int:
        """Stop new positions until `resume`; closing stays possible."""
        return _leave("halt", reason, database, config)

    @app.command()
    def resume(reason: Reason, database: Database = None, config: ConfigFile = None) -> int:
        """End a halt, a pause, or a fault of the risk memory."""
        return _leave("resume", reason, database, config)

    @app.command()
    def flatten(
        reason: Reason,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        database: Database = None,
        config: ConfigFile = None,
    ) -> int:
        """Close every position at the next open and halt."""
        if not yes:
            typer.confirm("Close every position at the next open and halt?", abort=True)
        return _leave("flatten", reason, database, config)

    return app


def _leave(kind: str, reason: str, database: str | None, config: Path | None) -> int:
    from trading_platform.operations.commands import command

    return command(kind, reason, database, config)
