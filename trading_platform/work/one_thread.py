"""One thread a worker: sums in another order are other bits, and cores are shared out by tasks, not within one."""

from __future__ import annotations

import os
import sys

# Read by OpenMP, OpenBLAS and MKL when they are loaded; for those that are loaded already there is threadpoolctl.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def keep_to_one_thread() -> None:
    """Let this process's linear algebra use one thread from now on."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # comes with scikit-learn, which Python 3.14 has none of yet; the variables have to do
        pass
    else:
        threadpool_limits(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
