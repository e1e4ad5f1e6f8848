"""Two books of one account, ours and the broker's: compared, explained, kept."""
