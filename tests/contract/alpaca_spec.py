"""Alpaca's OpenAPI files as JSON Schema: find an operation, validate its answer."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SPECS = Path(__file__).parents[3] / "shared" / "alpaca-openapi"
needs_spec = pytest.mark.skipif(not SPECS.is_dir(), reason="../shared/alpaca-openapi is not here")


class Spec:
    """One OpenAPI 3.0 file."""

    def __init__(self, name: str) -> None:
        self.document: dict[str, Any] = json.loads((SPECS / name).read_text())
        self._components = {"components": _plain(self.document["components"])}

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """Return the templated path and operation of a request; paths without placeholders win."""
        for template in sorted(self.document["paths"], key=lambda text: text.count("{")):
            pattern = re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(template))
            operations = self.document["paths"][template]
            if re.fullmatch(pattern, path) and method.lower() in operations:
                return template, operations[method.lower()]
        return None

    def validate(self, method: str, path: str, status: int, body: object) -> str:
        """Check an answer against the operation's schema; return the templated path. Unknown operations fail."""
        found = self.operation(method, path)
        assert found is not None, f"{method} {path} is not in the specification"
        template, operation = found
        answers = operation["responses"]
        assert str(status) in answers, f"{method} {template} does not document status {status}"
        content = self._resolve(answers[str(status)]).get("content")
        if content is not None:
            schema = _plain(content["application/json"]["schema"]) | self._components
            jsonschema.Draft202012Validator(schema).validate(body)
        return template

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            place: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                place = place[part]
            node = place
        return node


def _plain(node: Any) -> Any:
    """Return OpenAPI 3.0 schema as JSON Schema: `nullable` becomes a type.

    `oneOf` becomes `anyOf`: the activities' alternatives require nothing, so every activity fits both of them.
    """
    if isinstance(node, list):
        return [_plain(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    plain = {
        "anyOf" if key == "oneOf" else key: _plain(value)
        for key, value in node.items()
        if key not in ("nullable", "example", "x-examples")
    }
    if node.get("nullable") is True:
        return {"anyOf": [copy.deepcopy(plain), {"type": "null"}]}
    return plain
