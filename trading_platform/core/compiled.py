"""One source, two speeds: numba compiles the decision core when present, plain Python runs it when not.

Every rule, fill and ledger entry is a small function decorated with :func:`compiled`. There is no second
implementation: without numba the decorator returns the function unchanged, and the numbers are the same
(``tests/parity`` proves it). ``fastmath`` stays off, since it would reorder sums and break that equality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

try:
    import numba
except ImportError:
    HAS_NUMBA = False
else:
    HAS_NUMBA = True

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` with numba (no GIL, cached on disk), or return it unchanged without numba."""
    if not HAS_NUMBA:
        return function
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
