"""Supporting package of the trading engine: pure decision core inside, adapters around it."""
