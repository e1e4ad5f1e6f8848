"""Training of the strategy allocator: PPO over the simulation kernel, folds, seeds, controls."""
