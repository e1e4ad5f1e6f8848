"""Honest statistics: splits, bootstrap, deflated Sharpe ratio, baselines, proof against look-ahead."""
