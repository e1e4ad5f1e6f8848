"""Start a local Alpaca: `python -m trading_platform.alpaca_server --port 8123 --data ../shared/market-data`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import date
from pathlib import Path
from typing import TextIO

from trading_platform.alpaca_server.behaviour import PROFILES, profile
from trading_platform.alpaca_server.data_api import Entitlement
from trading_platform.alpaca_server.fill_models import ExactFills, FillModel, PaperFills, RealisticFills
from trading_platform.alpaca_server.scenario import read_scenario
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.synthetic import SyntheticMarketData

SYNTHETIC = Path("synthetic")
ENDPOINTS = """\
while it runs (JSON, no keys needed):
  POST   /admin/advance  {"to": "dawn" | "open" | "close" | "evening" | an instant, "times": 1}
  POST   /admin/faults   {"kind": "status_after", "method": "POST", "path": "/v2/orders", "status": 504}, or a list
  DELETE /admin/faults   everything works again
  POST   /admin/whims    {"kind": "reject" | "cancel" | "partial", "symbol": "AAPL", "side": "buy"}
  POST   /admin/behaviour {"profile": "realistic", "partial_fills": 0.5}
  POST   /admin/cash     {"amount": 1000.0}
  POST   /admin/trade    {"symbol": "AAPL", "side": "buy", "qty": 1}
  POST   /admin/orders | replace | cancel | foreign | events | activities | account | assets | bars | trades | stream
                         what the owner does by hand, and what happens to the account: docs/alpaca.md
  GET    /admin/state    orders, fills, positions, cash, counts of requests and faults
An evening is 21 minutes after a close, when daily bars are final and the engine decides. Ctrl-C stops it.
"""
FILL_MODELS: dict[str, type[FillModel]] = {"paper": PaperFills, "exact": ExactFills, "realistic": RealisticFills}


def main(arguments: list[str] | None = None) -> int:
    """Run the server until interrupted; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        server = _build(options)
    except TradingPlatformError as error:
        _say(f"error: {error}", sys.stderr)
        return error.exit_code
    config = server.config
    _say(f"A simulated Alpaca, not a broker, listens on {server.url} (trading and data).")
    _say(
        f"keys: {config.key_id} / {config.secret_key}   clock: {server.now:%Y-%m-%d %H:%M} UTC   "
        f"source: {options.data}   profile: {options.profile}, seed {options.seed}"
    )
    _say(
        f'Move its clock: curl -X POST {server.url}/admin/advance -d \'{{"to": "open"}}\'  '
        "(dawn, open, close, evening, or a time)"
    )
    if options.seconds_per_step is not None:
        threading.Thread(target=_walk, args=(server, options.seconds_per_step), daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background ignores the first unless it is listened for
        signal.signal(number, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trading_platform.alpaca_server",
        description="A local Alpaca for tests and dry runs: real HTTP, simulated market, its clock moves when told to.",
        epilog=ENDPOINTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, default=SYNTHETIC, help="folder with daily bars (csv, parquet), or synthetic (default)"
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one (default)")
    parser.add_argument("--start", type=date.fromisoformat, help="first session to trade, e.g. 2017-01-03")
    parser.add_argument("--tickers", help="comma-separated; all of the folder by default")
    parser.add_argument("--cash", type=float, default=100_000.0, help="dollars at the start (default 100000)")
    parser.add_argument(
        "--fills", choices=sorted(FILL_MODELS), help="fill model (default: paper, realistic in that profile)"
    )
    parser.add_argument("--plus", action="store_true", help="recent SIP data, as with the paid data plan")
    parser.add_argument("--limit", type=int, metavar="N", help="refuse more than N requests a minute with 429")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn: habits, faults, identifiers")
    parser.add_argument(
        "--profile",
        choices=sorted(PROFILES),
        default="exact",
        help="how Alpaca behaves: exact (default, for parity) or realistic",
    )
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="carry out these recorded admin requests again")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the admin requests that come to this file")
    parser.add_argument(
        "--seconds-per-step", type=float, metavar="S", help="move the clock by itself: every S seconds to the next bell"
    )
    return parser


def _build(options: argparse.Namespace) -> AlpacaServer:
    if not 0 <= options.port <= 65535:
        raise FixConfigError(f"--port must be in 0..65535, was {options.port}")
    calendar = NyseCalendar()
    tickers = options.tickers.split(",") if options.tickers else None
    source = FilesMarketData(options.data, calendar=calendar) if options.data != SYNTHETIC else None
    panel: MarketPanel = (source or SyntheticMarketData(options.seed, calendar=calendar)).history(tickers)
    fill_model: FillModel | None = None if options.fills is None else FILL_MODELS[options.fills]()
    scenario = () if options.scenario is None else read_scenario(options.scenario)
    config = ServerConfig(
        cash=options.cash,
        requests_per_minute=options.limit,
        entitlement=Entitlement(recent_sip=options.plus),
        seed=options.seed,
        behaviour=profile(options.profile),
    )
    return AlpacaServer(
        panel,
        calendar,
        config,
        fill_model,
        start=options.start,
        port=options.port,
        scenario=scenario,
        record=options.record,
    )


def _walk(server: AlpacaServer, seconds: float) -> None:
    """Ring every bell of the panel in turn: dawn, open, close, dawn ..."""
    while not server.stopping.wait(seconds):
        if server.market.is_open:
            server.advance_to_close()
        elif server.market.next_row is None:
            return
        elif not server.at_dawn:
            server.advance_to_dawn()
        else:
            server.advance_to_open()


def _say(text: str, stream: TextIO = sys.stdout) -> None:
    stream.write(text + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
