"""A local Alpaca for tests and dry runs: real HTTP, a simulated market, faults on demand.

`python -m trading_platform.alpaca_server --help` starts one; tests and dry runs use :class:`AlpacaServer`
from :mod:`trading_platform.alpaca_server.server`. How Alpaca behaves is switched in
:mod:`trading_platform.alpaca_server.behaviour`. Standard library and numpy only; msgpack, which comes with
alpaca-py, where a client of the stream asks for it.
"""
