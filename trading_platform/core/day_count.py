"""How long a year is: in sessions for returns, in calendar days for interest."""

from __future__ import annotations

ANNUAL_SESSIONS = 252
DAYS_A_YEAR = 365.0
