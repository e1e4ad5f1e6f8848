"""Walk-forward splits: the docstring's folds, calendar edges, errors, and skfolio as a second opinion."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.evaluation import splits
from trading_platform.evaluation.splits import Fold, SplitConfig, WalkForwardScheme, split_window, walk_forward


def weekdays(start: str, stop: str) -> NDArray[np.datetime64]:
    days = np.arange(start, stop, dtype="datetime64[D]")
    return days[np.is_busday(days)]


def test_docstring_folds_are_the_specification() -> None:
    outcome = doctest.testmod(splits, extraglobs={"np": np}, report=False)
    assert outcome.attempted >= 8
    assert outcome.failed == 0


def test_yearly_tests_are_whole_calendar_years_after_their_train_year() -> None:
    sessions = weekdays("2010-01-04", "2014-01-01")
    folds = list(walk_forward(sessions))
    assert [str(sessions[f.test.start])[:4] for f in folds] == ["2011", "2012", "2013"]
    assert [str(sessions[f.test.stop - 1])[:4] for f in folds] == ["2011", "2012", "2013"]
    assert [str(sessions[f.train.start])[:4] for f in folds] == ["2010", "2011", "2012"]
    assert str(sessions[folds[0].validation.start])[:4] == "2010"


@pytest.mark.parametrize(("years", "first"), [(1, ["2010", "2011", "2012"]), (2, ["2010", "2010", "2011"])])
def test_yearly_trains_on_as_many_years_as_asked(years: int, first: list[str]) -> None:
    sessions = weekdays("2010-01-04", "2014-01-01")
    folds = list(walk_forward(sessions, SplitConfig(calendar_years=years)))
    assert [str(sessions[f.train.start])[:4] for f in folds] == first
    assert [str(sessions[f.test.start])[:4] for f in folds] == ["2011", "2012", "2013"]


def test_yearly_skips_a_first_year_too_short_to_train_on() -> None:
    sessions = weekdays("2010-11-01", "2013-01-01")
    folds = list(walk_forward(sessions))
    assert [str(sessions[f.train.start])[:4] for f in folds] == ["2011"]
    assert str(sessions[folds[0].test.start]) == "2012-01-02"


def test_yearly_last_year_may_be_partial() -> None:
    sessions = weekdays("2010-01-01", "2011-02-01")
    (fold,) = walk_forward(sessions)
    assert fold.test == range(261, 282)


def test_yearly_refuses_a_hole_of_a_year() -> None:
    sessions = np.concatenate((weekdays("2010-01-01", "2011-01-01"), weekdays("2012-01-01", "2013-01-01")))
    with pytest.raises(MarketDataError, match="no session in the year after 2010"):
        list(walk_forward(sessions))


def test_a_later_year_with_too_few_sessions_is_an_error() -> None:
    sessions = np.concatenate(
        (
            weekdays("2010-01-01", "2011-01-01"),
            weekdays("2011-11-01", "2012-01-01"),
            weekdays("2012-01-01", "2013-01-01"),
        )
    )
    with pytest.raises(MarketDataError, match="before 2012-01-02, min_train_sessions is 60"):
        list(walk_forward(sessions))


def test_too_little_history_names_what_is_missing() -> None:
    with pytest.raises(MarketDataError, match="100 sessions of history leave no fold"):
        list(walk_forward(weekdays("2010-01-01", "2011-01-01")[:100]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda days: days[:0], "filled"),
        (lambda days: days[:, None], "filled"),
        (lambda days: days[::-1], "strictly increasing"),
        (lambda days: np.insert(days, 300, days[300]), "strictly increasing"),
        (lambda days: np.append(days, np.datetime64("NaT")), "strictly increasing"),
        (lambda days: np.insert(days, 0, np.datetime64("NaT")), "strictly increasing"),
    ],
)
def test_unsorted_or_empty_sessions_are_refused(
    damage: Callable[[NDArray[np.datetime64]], NDArray[np.datetime64]], message: str
) -> None:
    with pytest.raises(MarketDataError, match=message):
        list(walk_forward(damage(weekdays("2010-01-01", "2013-01-01"))))


def test_a_fold_with_exactly_the_least_train_sessions_is_used() -> None:
    sessions = weekdays("2010-01-01", "2012-01-01")
    # 261 sessions in 2010, of which 236 are left after the gap; 30 % validate, and another gap
    assert next(walk_forward(sessions, SplitConfig(min_train_sessions=141))).train == range(141)
    with pytest.raises(MarketDataError, match="no fold with 142"):
        list(walk_forward(sessions, SplitConfig(min_train_sessions=142)))


def test_all_mistakes_in_the_settings_are_reported_together() -> None:
    with pytest.raises(FixConfigError) as caught:
        SplitConfig(purged_size=-1, embargo_size=-2, validation_fraction=1.0, train_years=0, test_sessions=0)
    for name in ("purged_size", "embargo_size", "validation_fraction", "train_years", "test_sessions"):
        assert name in str(caught.value)
    with pytest.raises(FixConfigError, match="validation_fraction"):
        SplitConfig(validation_fraction=float("nan"))


def test_split_window_serves_a_weekly_retrain() -> None:
    train, validation = split_window(range(1000, 1504), SplitConfig())
    # 504 - 25 = 479 usable, 30 % of it validates
    assert validation == range(1336, 1479)
    assert train == range(1000, 1311)


def test_split_window_without_validation_keeps_one_gap() -> None:
    assert split_window(range(252), SplitConfig(validation_fraction=0.0)) == (range(227), range(227, 227))


def test_split_window_shorter_than_its_gap_is_empty() -> None:
    assert split_window(range(10, 20), SplitConfig()) == (range(10, 10), range(10, 10))


def test_out_of_sample_joins_all_tests() -> None:
    folds = [Fold(range(2), range(2, 2), range(3, 5)), Fold(range(1, 3), range(3, 3), range(5, 6))]
    assert splits.out_of_sample(folds).tolist() == [3, 4, 5]


def test_rolling_folds_equal_those_of_skfolio() -> None:
    selection = pytest.importorskip("skfolio.model_selection", reason="skfolio is a development dependency")
    sessions = weekdays("2010-01-01", "2015-01-01")
    config = SplitConfig(scheme=WalkForwardScheme.ROLLING, validation_fraction=0.0, test_sessions=126)
    theirs = selection.WalkForward(test_size=126, train_size=504 - 25, purged_size=25).split(
        np.zeros((len(sessions), 1))
    )
    ours = [fold for fold in walk_forward(sessions, config) if len(fold.test) == 126]
    assert len(ours) >= 5
    for fold, (train, test) in zip(ours, theirs, strict=True):
        assert (fold.train.start, fold.train.stop - 1) == (train[0], train[-1])
        assert (fold.test.start, fold.test.stop - 1) == (test[0], test[-1])
