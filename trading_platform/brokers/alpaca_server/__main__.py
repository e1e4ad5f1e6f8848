"""`python -m trading_platform.brokers.alpaca_server`, the old name of `python -m trading_platform.alpaca_server`."""

from __future__ import annotations

import sys

from trading_platform.alpaca_server.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
