"""Whether a service's machine can be reached at all, so that a computer without network says so in seconds."""

from __future__ import annotations

import socket
import threading
import urllib.request
from urllib.parse import urlsplit

from trading_platform.core.errors import MarketDataError

HTTPS = 443
SECONDS = 5.0
WITHOUT_NETWORK = (
    "without a network these work: the embedded market (no --source), bars of your own (--data-dir FOLDER), and bars "
    "that were fetched before"
)


def check_reachable(service: str, url: str, seconds: float = SECONDS) -> None:
    """Return if a connection to the machine of `url` opens within `seconds`; `service` is its name for people.

    Behind a proxy nothing is tried: it alone reaches the outside.

    Raises
    ------
    MarketDataError
        There is none; the message says what works without.
    """
    if urllib.request.getproxies():
        return
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or HTTPS
    failed: list[str] = ["no answer"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), seconds).close()
        except OSError as error:
            failed[0] = error.strerror or str(error)
        else:
            failed.clear()

    attempt = threading.Thread(target=connect, daemon=True)  # resolving a name has no time limit of its own
    attempt.start()
    attempt.join(seconds)
    if failed:
        raise MarketDataError(f"{service} cannot be reached ({host}: {failed[0]}); {WITHOUT_NETWORK}")
