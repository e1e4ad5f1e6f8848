"""What writing a file for good needs, where the system has it: Windows knows no open folder and no waiting pipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would write another line end
WITHOUT_WAITING: int = getattr(os, "O_NONBLOCK", 0) | BINARY


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk, so that a file that was renamed into it stays; Windows does so by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
