"""Supporting package of the trading engine: pure decision core inside, adapters around it."""

__version__ = "0.1.0"  # as in pyproject.toml; a test holds both
