"""The tables of a database as the inspector sees them, to be compared."""

from __future__ import annotations

from sqlalchemy import Engine, inspect


def schema_shape(engine: Engine) -> dict[str, object]:
    """Everything that the inspector knows, in an order of its own."""
    found = inspect(engine)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)],
            found.get_pk_constraint(table),
            sorted(found.get_foreign_keys(table), key=str),
            sorted(found.get_indexes(table), key=str),
            sorted(found.get_unique_constraints(table), key=str),
        )
        for table in found.get_table_names()
    }
