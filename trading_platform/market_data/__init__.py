"""Bars and VIX from files, Alpaca, Yahoo or the embedded market; calendar, checks, cache."""
