"""What the capture remembers in a session's settings bears a mark."""

import re
from pathlib import Path

from django.db import migrations

from operations.sql_files import run_sql_file

_CAPTURE = (Path(__file__).resolve().parent.parent / "sql" / "0006_capture.sql").read_text(
    encoding="utf-8"
)


def _was(name: str) -> str:
    """A function as it was before."""
    found = re.search(
        rf"^CREATE (FUNCTION custody\.{name}\(.*?^(?:\$function\$;|RETURN substring[^\n]*;))",
        _CAPTURE,
        re.DOTALL | re.MULTILINE,
    )
    return f"CREATE OR REPLACE {found[1]}\n"


_REVERSE = f"""
{_was("audit_reserved")}
{_was("audit_reserve")}
{_was("audit_row_statement")}
DROP FUNCTION custody.audit_mark(text);
ALTER TABLE custody.auditing_numbering DROP COLUMN secret;
"""


class Migration(migrations.Migration):
    dependencies = [("auditing", "0017_restored")]

    operations = [run_sql_file("auditing", "0011_marks.sql", reverse=_REVERSE)]
