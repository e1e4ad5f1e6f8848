"""Migrations: they make what models.py says, keep rows, and every revision is known to the readers."""

from __future__ import annotations

import shutil
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from schema_shape import schema_shape
from sqlalchemy import Engine, create_mock_engine, text

from trading_platform.storage.database import MIGRATIONS, migrate, open_database, upgrade
from trading_platform.storage.models import Base
from trading_platform.storage.schema import HEAD, REVISIONS

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs", recreate="always") as table:
        table.add_column(sa.Column("colour", sa.String(8), nullable=True))
"""


def upgraded(path: Path) -> Engine:
    engine = open_database(path)
    with engine.begin() as connection:
        upgrade(connection)
    return engine


def statements(engine: Engine) -> dict[str, list[str]]:
    """The words of every statement; constraints may stand in any order."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
    return {name: sorted(sql.replace(",", " ").replace("(", " ( ").replace(")", " ) ").split()) for name, sql in rows}


def test_created_schema_equals_migrated_schema(tmp_path: Path) -> None:
    created, migrated = open_database(tmp_path / "created.db"), upgraded(tmp_path / "migrated.db")
    migrate(created)
    assert schema_shape(created) == schema_shape(migrated)
    assert statements(created) == statements(migrated)  # also what the inspector does not see, such as WITHOUT ROWID


def test_migrated_schema_equals_the_models(tmp_path: Path) -> None:
    with upgraded(tmp_path / "migrated.db").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_comparison_notices_a_missing_column(tmp_path: Path) -> None:
    engine = upgraded(tmp_path / "migrated.db")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE runs DROP COLUMN seed"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) != []


def test_known_revisions_are_the_shipped_ones() -> None:
    shipped = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert tuple(reversed(shipped)) == REVISIONS


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "trading.db")
    migrate(engine)
    before = schema_shape(engine)
    migrate(engine)
    assert schema_shape(engine) == before


def test_later_migration_that_rebuilds_a_table_keeps_the_rows_that_refer_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "next.py").write_text(NEXT.format(head=HEAD))
    engine = open_database(tmp_path / "trading.db")
    migrate(engine)
    with engine.begin() as connection:
        columns = {c.name: "'x'" for c in Base.metadata.tables["runs"].columns if not c.nullable}
        columns |= {"id": "1", "capital": "1", "started_at": "'2024-01-02 00:00:00'"}
        names, values = ", ".join(columns), ", ".join(columns.values())
        connection.execute(text(f"INSERT INTO runs ({names}) VALUES ({values})"))  # noqa: S608 - constants
        connection.execute(text("INSERT INTO data_warnings (run_id, message) VALUES (1, 'kept')"))
    migrate(engine, revisions=(*REVISIONS, "next"), folder=folder)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT message FROM data_warnings")).scalar() == "kept"
        assert connection.execute(text("SELECT colour FROM runs WHERE id = 1")).scalar() is None
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "next"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_tables_compile_for_postgresql() -> None:
    statements: list[str] = []

    def collect(statement: object, *_: object, **__: object) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)))  # type: ignore[attr-defined]

    engine = create_mock_engine("postgresql://", collect)
    Base.metadata.create_all(engine, checkfirst=False)
    assert sum("CREATE TABLE" in s for s in statements) == len(Base.metadata.tables)
