"""Settings: the environment and .env, trading.toml, risk limits; strict and fingerprinted."""
