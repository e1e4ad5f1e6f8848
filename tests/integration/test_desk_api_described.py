"""The API against its own description: whatever is sent, no 5xx, and every answer as described (schemathesis)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from desk_world import Visit, world
from hypothesis import HealthCheck, settings

from trading_platform.desk.access import Role, token_person
from trading_platform.desk.api import ENDPOINTS, description

pytestmark = [pytest.mark.real, pytest.mark.slow]
EXAMPLES = 60  # of each operation


@pytest.mark.filterwarnings("default")  # of schemathesis' own parts
@pytest.mark.parametrize("operation", [f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS])
def test_api_answers_whatever_is_sent_as_it_describes(tmp_path: Path, operation: str) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    token, person = token_person("tester", Role.OPERATOR)
    visit = Visit(world(tmp_path / "a.db"), (person,))
    schema = schemathesis.openapi.from_dict(description())
    method, path = operation.split(" ", 1)
    described = schema[f"/api/v1{path}"][method]
    seen: list[int] = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def send(case: Any) -> None:
        told = case.as_transport_kwargs(base_url="http://127.0.0.1:8765")
        headers = {**dict(told.get("headers") or {}), "authorization": f"Bearer {token}"}
        answer = visit.browser.request(
            told["method"],
            told["url"],
            params=told.get("params"),
            json=told.get("json"),
            headers=headers,
        )
        seen.append(answer.status_code)
        assert answer.status_code < 500, answer.text
        allowed = set(described.definition.raw["responses"])
        assert str(answer.status_code) in allowed, (answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json(), dict)

    import hypothesis

    hypothesis.given(case=described.as_strategy())(send)()

    assert len(seen) >= EXAMPLES // 4
