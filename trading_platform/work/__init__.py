"""Work that splits into tasks: on this core, on many, or on a cluster; the same seed gives the same bits on each."""
