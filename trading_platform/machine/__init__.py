"""What this machine gives: clocks, stop signals, threads, memory, logs, proof of life."""
