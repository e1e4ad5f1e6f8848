"""Which process on which start of which machine: a bare process number lives again after every reboot."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")
START_TIME = 19  # of the fields of /proc/PID/stat behind the command's name: clock ticks since the machine's start


class ProcessIdentity(NamedTuple):
    """A process for good: `boot` and `started` are empty where the system does not tell them."""

    host: str
    pid: int
    boot: str
    started: str


def this_process() -> ProcessIdentity:
    """Return the identity of the process that asks."""
    pid = os.getpid()
    return ProcessIdentity(socket.gethostname()[:64], pid, boot_id(), start_of(pid))


@cache
def boot_id() -> str:
    """Return the id of this start of the machine; empty where there is none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def process_namespace() -> str:
    """Return what tells one container's process numbers from another's; empty where the system does not tell."""
    try:
        return str(NAMESPACE.stat().st_ino)
    except OSError:
        return ""


def start_of(pid: int) -> str:
    """Return when process `pid` began, in the system's own count; empty if it is gone or the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[START_TIME]


def lives(known: ProcessIdentity) -> bool | None:
    """Return whether the very process `known` lives; None where it cannot be told from here.

    Another host cannot be looked at. On this one a process of an earlier start of the machine is dead, and so is one
    whose number now belongs to a process that began at another time.
    """
    if known.host != socket.gethostname()[:64]:
        return None
    if known.boot and boot_id() and known.boot != boot_id():
        return False
    if known.started and boot_id():
        return start_of(known.pid) == known.started
    return None if known.pid != os.getpid() else True
