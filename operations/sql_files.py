"""What PostgreSQL keeps of ours: numbered files in an app's `sql/`, loaded by its migrations."""

from __future__ import annotations

from pathlib import Path

from django.db.migrations.operations import RunSQL

_ROOT = Path(__file__).resolve().parent.parent


def run_sql_file(app: str, name: str, *, reverse: str) -> RunSQL:
    """The migration that runs `app/sql/name`. Once landed the file never changes."""
    return RunSQL((_ROOT / app / "sql" / name).read_text(encoding="utf-8"), reverse)
