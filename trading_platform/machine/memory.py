"""Memory of large arrays, kept for the next ones."""

from __future__ import annotations

import numpy as np

LARGEST_MAPPED = 31 << 20  # bytes; glibc's threshold rises no further than 32 MiB


def keep_freed_pages() -> None:
    """Let the C library keep the memory that arrays give back, for a process that makes many of some MiB.

    glibc maps each array of over 128 KiB anew and unmaps it when it is freed: a page fault every 4 KiB, which took as
    long as the strategies' arithmetic. It stops doing so for sizes up to that of a mapped block which was freed
    (mallopt(3), M_MMAP_THRESHOLD). So one is, untouched. Other C libraries do what they did before.
    """
    np.empty(LARGEST_MAPPED, dtype=np.uint8)
