"""One source, two speeds: numba compiles the decision core when present, plain Python runs it when not.

Every rule, fill and ledger entry is a small function decorated with :func:`compiled`. There is no second
implementation: without numba the decorator returns the function unchanged, and the numbers are the same
(``tests/parity`` proves it). ``fastmath`` stays off, since it would reorder sums and break that equality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

try:
    from numba import njit as _njit
except ImportError:
    _njit = None

F = TypeVar("F", bound=Callable[..., Any])

HAS_NUMBA = _njit is not None


def compiled(function: F) -> F:
    """Compile `function` with numba (no GIL, cached on disk), or return it unchanged without numba."""
    if _njit is None:
        return function
    wrapped: F = _njit(cache=True, nogil=True, error_model="numpy")(function)
    return wrapped
