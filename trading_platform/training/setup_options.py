"""The training setup from what a command line says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import did_you_mean
from trading_platform.training.setup import SHORT_RUN, TrainingSetup

LINEAR = "linear"
FIELD_OF = {"algo": "algo", "reward": "reward", "net": "hidden"}


def make_setup(
    episodes: int, eval_freq: int, options: Sequence[str], named: dict[str, str | None] | None = None
) -> TrainingSetup:
    """Return the training setup; `options` are name=value pairs over its defaults, `named` options of their own.

    A short run draws no universes unless it is told how many.

    Raises
    ------
    FixConfigError
        An unknown name, a value that does not look like the default's, or one that makes no sense.
    """
    known = {item.name: item.default for item in fields(TrainingSetup)}
    values: dict[str, Any] = {"episodes": episodes, "eval_freq": min(eval_freq, episodes)}
    if episodes < SHORT_RUN:
        values["n_universes"] = 0
    for option, value in (named or {}).items():
        if value is not None:
            values[FIELD_OF[option]] = _parsed(f"--{option} {value}", FIELD_OF[option], value, known[FIELD_OF[option]])
    for text in options:
        name, sign, value = text.partition("=")
        if not sign or name not in known:
            raise FixConfigError(f"--set {text!r}: must be name=value{did_you_mean(name, known)}")
        values[name] = _parsed(f"--set {name}={value}", name, value, known[name])
    return TrainingSetup(**values)


def _parsed(said: str, name: str, value: str, default: object) -> object:
    try:
        if name == "hidden":
            return () if value in (LINEAR, "") else tuple(int(units) for units in value.split(","))
        if isinstance(default, tuple):
            return tuple(value.split(","))
        if isinstance(default, str):
            return value
        if isinstance(default, bool):
            return _truth(value)
        return int(value) if isinstance(default, int) else float(value)
    except ValueError as error:
        like = "units a layer such as 16 or 32,32, or linear" if name == "hidden" else repr(default)
        raise FixConfigError(f"{said}: must look like {like} ({error})") from error


def _truth(value: str) -> bool:
    truths = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in truths:
        raise ValueError(f"{value!r} is neither true nor false")
    return truths[value.lower()]
