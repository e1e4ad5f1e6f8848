"""Which run is meant when none is named: one rule for `status` and the report. Free of SQLAlchemy, as the report is."""

from __future__ import annotations

# Real accounts before simulations: a replay that was run in passing does not hide the account that trades.
MODES = ("alpaca_live", "own_broker", "alpaca_paper", "paper", "replay")

# Of one mode the run that was begun last counts. `started_at` is the market's time, not ours: a replay of last year
# that is begun today is newer than one of this year that was begun yesterday.
NEWEST_FIRST = "ORDER BY id DESC"
