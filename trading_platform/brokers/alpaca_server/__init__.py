"""The local Alpaca under its old name, for one version: it lives in `trading_platform.alpaca_server`."""
