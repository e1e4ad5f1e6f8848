"""How long a year is, in sessions for returns and in calendar days for interest; and where days begin and end."""

from __future__ import annotations

ANNUAL_SESSIONS = 252
DAYS_A_YEAR = 365.0
NEW_YORK_ZONE = "America/New_York"  # of the exchanges that Alpaca trades at
