"""What to buy and sell: one pure strategy a file."""
