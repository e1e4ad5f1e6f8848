"""`mcp`: the server that agents ask over standard input and output. Read-only, and without a key."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from trading_platform.configuration.environment import broker_free, load_settings
from trading_platform.core.errors import FixConfigError
from trading_platform.machine.clocks import utc_now
from trading_platform.operations.commands import Place, database_place, existing_database
from trading_platform.reporting.document import WholeReport

ENGINE = Path(__file__).parents[2] / "autonomous_trading_engine.py"


def serve_mcp(place: Place) -> int:
    """Serve until the client goes; return the exit code.

    Raises
    ------
    FixConfigError
        The extra is not installed.
    RepairDatabaseError
        The database is missing or of another version.
    """
    with redirect_stdout(sys.stderr):  # standard output is the wire, from its first byte
        try:
            from trading_platform.talk.mcp_server import mcp_server
        except ModuleNotFoundError as error:
            raise FixConfigError(
                f'mcp needs a package that is not here ({error.name}): pip install "trading-platform[mcp]"'
            ) from error
        where = database_place(place)
        settings = broker_free(load_settings())._replace(telegram_bot_token=None)
        database = existing_database(Place(where, None), read_only=True)
    full = where if "://" in where else str(Path(where).resolve())

    def report(run_id: int | None) -> WholeReport:
        from daily_report import generate_daily_report

        return generate_daily_report(where, run=run_id, settings=settings)

    mcp_server(database, full, report, utc_now, ENGINE).run("stdio")
    return 0
