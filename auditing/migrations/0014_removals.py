"""A purge tells which versions it took away."""

from django.db import migrations

from operations.sql_files import run_sql_file

_REVERSE = """
DROP FUNCTION custody.audit_statements(bigint, text, boolean, boolean);
ALTER FUNCTION custody.audit_version_statements(bigint, text, boolean, boolean) RENAME TO audit_statements;
DROP FUNCTION custody.audit_purge_statements(bigint), custody.audit_ranges(int8multirange);
"""


class Migration(migrations.Migration):
    dependencies = [("auditing", "0013_redactions")]

    operations = [run_sql_file("auditing", "0009_removals.sql", reverse=_REVERSE)]
