"""How long a request may take: seconds to connect, and between two bytes of the answer."""

from __future__ import annotations

TO_CONNECT = 3.05  # a little more than the 3 after which TCP sends a lost packet again
TIMEOUT = (TO_CONNECT, 10.0)
