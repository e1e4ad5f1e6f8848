"""What the engine works on: the prepared market, regimes kept on disk, recovery, a scan's result."""
