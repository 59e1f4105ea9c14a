"""A log that goes on in another cluster, after a dump and restore."""

import re
from pathlib import Path

from django.db import migrations

from operations.sql_files import run_sql_file

_SQL = Path(__file__).resolve().parent.parent / "sql"


def _was(file: str, name: str) -> str:
    """A function as it was before."""
    text = (_SQL / file).read_text(encoding="utf-8")
    found = re.search(rf"CREATE (FUNCTION custody\.{name}\(.*?\$function\$;)", text, re.DOTALL)
    # The body begins with the first mark, and ends with the next.
    body = re.match(r".*?AS \$function\$.*?\$function\$;", text[found.start(1):], re.DOTALL)
    return f"CREATE OR REPLACE {body[0]}\n"


_REVERSE = f"""
{_was("0002_context.sql", "audit_context")}
{_was("0007_tables.sql", "audit_baseline")}
DROP FUNCTION custody.capture_make(bigint);
ALTER FUNCTION custody.capture_write(bigint) RENAME TO capture_make;
DROP FUNCTION custody.audit_table_of(bigint), custody.audit_cluster();
CREATE OR REPLACE FUNCTION custody.audit_statements(tracked bigint, kind text, overtaken boolean, dynamic boolean)
RETURNS text[]
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN kind = 'purge' THEN custody.audit_purge_statements(tracked)
            ELSE custody.audit_version_statements(tracked, kind, overtaken, dynamic) END;
ALTER TABLE custody.auditing_numbering DROP COLUMN cluster, DROP COLUMN before, DROP COLUMN pending;
"""


class Migration(migrations.Migration):
    dependencies = [("auditing", "0016_verify_findings")]

    operations = [run_sql_file("auditing", "0010_restored.sql", reverse=_REVERSE)]
