"""Deleting softly and restoring, as functions of the database."""

import re
from pathlib import Path

from django.db import migrations

from operations.sql_files import run_sql_file

_SQL = Path(__file__).resolve().parent.parent / "sql"
_FILES = (
    "0002_softdelete.sql",
    "0011_softdelete_rights.sql",
    "0004_softdelete_deleting.sql",
    "0005_softdelete_moving.sql",
    "0006_softdelete_restoring.sql",
    "0007_softdelete_application.sql",
)


def _drop(name: str) -> str:
    made = re.findall(
        r"^CREATE (FUNCTION|TYPE) (custody\.\w+)",
        (_SQL / name).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return "\n".join(f"DROP {kind} {name};" for kind, name in reversed(made))


class Migration(migrations.Migration):
    dependencies = [("retention", "0008_soft_delete"), ("auditing", "0019_seal_permissions")]

    operations = [run_sql_file("retention", name, reverse=_drop(name)) for name in _FILES]
