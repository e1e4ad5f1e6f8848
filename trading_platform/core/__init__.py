"""The decision core: pure functions over scalars and arrays. No I/O, no clock, no global randomness."""
