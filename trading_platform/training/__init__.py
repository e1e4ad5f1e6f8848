"""Training of the allocator: folds, seeds, PPO, controls, verdict."""
