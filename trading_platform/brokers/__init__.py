"""Brokers behind one port: paper simulator, Alpaca."""
