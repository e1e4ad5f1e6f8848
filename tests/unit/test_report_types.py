"""The report's types name the keys of its schema, level by level, and know what may be null."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import trading_platform.reporting
from trading_platform.reporting.document import WholeReport

SCHEMA = json.loads((Path(trading_platform.reporting.__file__).parent / "report.schema.json").read_text())


def differences(kind: object, schema: Mapping[str, Any], place: str = "report") -> Iterator[str]:
    """Yield where a type is not what the schema describes."""
    schema = resolved(schema)
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if is_nullable(schema) and types.NoneType not in kinds:
        yield f"{place} may be null"
    for each in kinds:
        if typing.is_typeddict(each):
            hints = typing.get_type_hints(each)
            if hints.keys() != schema.get("properties", {}).keys():
                yield f"{place}: {sorted(hints.keys() ^ schema.get('properties', {}).keys())}"
            for name in hints.keys() & schema.get("properties", {}).keys():
                yield from differences(hints[name], schema["properties"][name], f"{place}.{name}")
        elif typing.get_origin(each) is list:
            yield from differences(typing.get_args(each)[0], schema["items"], f"{place}[]")
        elif typing.get_origin(each) is dict and "additionalProperties" in schema and schema["additionalProperties"]:
            yield from differences(typing.get_args(each)[1], schema["additionalProperties"], f"{place}{{}}")


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found = SCHEMA
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return typing.cast("Mapping[str, Any]", found)


def is_nullable(schema: Mapping[str, Any]) -> bool:
    return "null" in schema.get("type", ()) or None in schema.get("enum", ())


def test_the_report_s_types_are_its_schema() -> None:
    assert list(differences(WholeReport, SCHEMA)) == []


class Wrong(TypedDict):
    fills: int
    forgotten: int


def test_a_key_too_many_and_a_null_that_nobody_expects_are_noticed() -> None:
    assert list(differences(Wrong, SCHEMA["properties"]["own_costs"])) == [
        "report may be null",
        "report: ['delay', 'every', 'forgotten', 'large', 'liquid', 'middle', 'setting_bps', 'small', 'thin']",
    ]
