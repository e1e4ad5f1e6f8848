"""The decision core, pure and compiled: market arrays, session step, candidates, fills, ledger, observation."""
