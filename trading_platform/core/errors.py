"""Exceptions, named by what the operator must do. Each maps to one documented exit code."""

from __future__ import annotations


class TradingPlatformError(Exception):
    """Base of every error that ends a command with a message instead of a traceback."""

    exit_code = 1


class FixConfigError(TradingPlatformError):
    """A setting, argument or environment variable is wrong: change it and start again."""

    exit_code = 2


class BrokerUnreachableError(TradingPlatformError):
    """The broker or data service did not answer: check the network, then start again."""

    exit_code = 3


class RepairDatabaseError(TradingPlatformError):
    """The database is missing, corrupt, locked or of another version: restore or migrate it."""

    exit_code = 4


class OperatorNeededError(TradingPlatformError):
    """Trading is halted until an operator looks and resumes."""

    exit_code = 5


class MarketDataError(TradingPlatformError):
    """The market data cannot be used: mend the file or source that the message names."""

    exit_code = 6


class FixCredentialsError(TradingPlatformError):
    """The broker refused our keys: replace them."""

    exit_code = 7


class RetrainModelError(TradingPlatformError):
    """A trained model may not be used: train again, promote another or roll back. Equal weight serves meanwhile."""

    exit_code = 8


class ApprovalError(TradingPlatformError):
    """An order reached a broker without a valid, unspent approval: a programming error, nothing was sent."""

    exit_code = 70


class HardlyMeantWarning(UserWarning):
    """A setting is allowed and hardly meant; its words are for people, and say what to write."""
