"""A local Alpaca: the REST endpoints that the engine uses, stateful, priced from any panel, with faults on demand.

`python -m trading_platform.brokers.alpaca_server --help` starts one; tests and dry runs use :class:`AlpacaServer`
from :mod:`trading_platform.brokers.alpaca_server.server`. Standard library and numpy only.
"""
