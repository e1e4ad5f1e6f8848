"""A local Alpaca for tests and dry runs: real HTTP, a simulated market, faults on demand.

`python -m trading_platform.alpaca_server --help` starts one; tests and dry runs use :class:`AlpacaServer`
from :mod:`trading_platform.alpaca_server.server`. Standard library and numpy only.
"""
