"""Whatever the sizes: parts never overlap, gaps hold, tests cover the out-of-sample span exactly once."""

from __future__ import annotations

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from trading_platform.core.errors import MarketDataError
from trading_platform.evaluation.splits import Fold, SplitConfig, WalkForwardScheme, walk_forward

configs = st.builds(
    SplitConfig,
    scheme=st.sampled_from(WalkForwardScheme),
    purged_size=st.integers(0, 40),
    embargo_size=st.integers(0, 10),
    validation_fraction=st.sampled_from([0.0, 0.01, 0.2, 0.3, 0.7]),
    train_years=st.one_of(st.none(), st.integers(1, 3)),
    test_sessions=st.integers(20, 300),
    min_train_sessions=st.integers(1, 120),
)


def holds(folds: list[Fold], config: SplitConfig, n_sessions: int) -> bool:
    """Say whether the folds keep every promise."""
    gaps = all(
        f.train.start >= 0
        and len(f.train) >= config.min_train_sessions
        and (
            f.validation.start - f.train.stop >= config.gap
            if len(f.validation)
            else f.test.start - f.train.stop >= config.gap
        )
        and f.test.start - f.validation.stop >= config.gap
        for f in folds
    )
    covered = [row for f in folds for row in f.test]
    return gaps and covered == list(range(folds[0].test.start, n_sessions))


@given(configs, st.integers(1, 1600), st.integers(0, 300))
def test_folds_keep_their_promises(config: SplitConfig, n_sessions: int, offset: int) -> None:
    days = np.datetime64("2009-06-01") + np.arange(offset, offset + int(n_sessions * 1.5))
    sessions = days[np.is_busday(days)][:n_sessions]
    try:
        folds = list(walk_forward(sessions, config))
    except MarketDataError:
        event("too little history")
        return
    event(f"{config.scheme}, folds: {min(len(folds), 4)}")
    event("with validation" if len(folds[0].validation) else "without validation")
    assert holds(folds, config, len(sessions))


def test_the_check_itself_notices_a_broken_split() -> None:
    config = SplitConfig(purged_size=5, embargo_size=0, min_train_sessions=1)
    good = Fold(range(10), range(15, 20), range(25, 30))
    assert holds([good], config, 30)
    assert not holds([Fold(range(11), range(15, 20), range(25, 30))], config, 30)
    assert not holds([Fold(range(10), range(15, 21), range(25, 30))], config, 30)
    assert not holds([Fold(range(10), range(15, 20), range(25, 29))], config, 30)
    assert not holds([good, Fold(range(10), range(15, 20), range(29, 31))], config, 31)
