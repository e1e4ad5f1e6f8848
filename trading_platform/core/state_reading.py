"""A state as callers have it - array, list, mapping of names, pandas Series - read as one row of the observation.

The contract's observation stands first in ours, so an array of its length is a state whose later entries are unknown.
Whatever is handed in, nothing is raised: what cannot be read is a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from trading_platform.core.observation import ObservationSchema
from trading_platform.core.types import Bools, Floats
from trading_platform.core.validation import did_you_mean

# What objects raise that are no numbers; a caller's own class may raise any of them.
NOT_NUMBERS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


class ReadState(NamedTuple):
    """`row` (D,) with each entry that was not told at its neutral value, `told` (D,), and what is wrong ("" = nothing).

    An entry that was told as NaN stays NaN: the caller knows that it is not known.
    """

    row: Floats
    told: Bools
    problem: str = ""


def read_state(given: object, schema: ObservationSchema) -> ReadState:
    """Return `given` as a row of observations of `schema`."""
    row = np.array([field.neutral for field in schema])
    told = np.zeros(len(schema), dtype=np.bool_)
    try:
        named = _named(given)
        if named is not None:
            return _by_name(named, schema, row, told)
        return _by_place(given, schema, row, told)
    except NOT_NUMBERS as error:
        return ReadState(row, told, f"the observation is no list of numbers ({_short(error)})")


def _named(given: object) -> Mapping[str, object] | None:
    """Return names and values of a mapping or of a Series that is labelled by names; None for anything else."""
    if isinstance(given, Mapping):
        return given
    labels = getattr(given, "index", None)
    if labels is None or not hasattr(given, "to_numpy") or getattr(given, "ndim", 0) != 1:
        return None
    names = list(labels)
    if not names or not all(isinstance(name, str) for name in names):
        return None
    if len(set(names)) != len(names):
        raise ValueError("a name occurs twice in its index")
    return dict(zip(names, np.asarray(given).tolist(), strict=True))


def _by_name(named: Mapping[str, object], schema: ObservationSchema, row: Floats, told: Bools) -> ReadState:
    places = {name: place for place, name in enumerate(schema.names)}
    for name, value in named.items():
        if name not in places:
            hint = did_you_mean(str(name), places)
            return ReadState(row, told, f"{_short(name)} is no entry of the observation{hint}")
        place = places[name]
        row[place] = np.nan if value is None else float(value)  # type: ignore[arg-type]  # whatever is no number raises
        told[place] = True
    if not told.any():
        return ReadState(row, told, "the observation is empty")
    return ReadState(row, told)


def _by_place(given: object, schema: ObservationSchema, row: Floats, told: Bools) -> ReadState:
    values = np.asarray(given)
    lengths = schema.readable_lengths
    if values.ndim != 1 or len(values) not in lengths:
        wanted = " or ".join(f"({length},)" for length in lengths)
        return ReadState(row, told, f"the observation has shape {values.shape}, not {wanted}")
    if values.dtype.kind not in "fiubO":
        return ReadState(row, told, f"the observation holds {values.dtype}, not numbers")
    row[: len(values)] = values.astype(np.float64)
    told[: len(values)] = True
    return ReadState(row, told)


def _short(what: object) -> str:
    text = str(what)
    return text if len(text) <= 80 else text[:77] + "..."
