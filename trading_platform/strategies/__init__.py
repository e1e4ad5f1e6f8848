"""Strategies: pure, vectorised, one file each, one literal registry."""
