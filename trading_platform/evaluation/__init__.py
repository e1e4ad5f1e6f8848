"""Honest evaluation: splits, bootstrap, deflated Sharpe, PBO, baselines."""
