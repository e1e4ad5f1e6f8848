"""Market data behind one port: files, synthetic, Alpaca; calendar and quality checks."""
