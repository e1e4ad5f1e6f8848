"""Causal market regime."""
