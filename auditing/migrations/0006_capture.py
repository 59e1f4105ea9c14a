"""The capture of changes, and when a baseline began."""

from django.db import migrations, models

from operations.sql_files import run_sql_file

_REVERSE = """
DO $block$
DECLARE
    made record;
BEGIN
    DROP EVENT TRIGGER IF EXISTS custody_audit_ddl;
    FOR made IN
        SELECT p.oid::regprocedure AS signature FROM pg_proc p
        WHERE p.pronamespace = 'custody'::regnamespace
          AND (p.proname LIKE 'audit\\_%' OR p.proname = 'capture_make')
          AND p.proname NOT IN ('audit_context', 'audit_reason_missing')
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', made.signature);
    END LOOP;
    DROP SEQUENCE custody.audit_seq, custody.audit_statement_seq;
END
$block$
"""


class Migration(migrations.Migration):
    dependencies = [("auditing", "0005_commits")]

    operations = [
        migrations.AddField(
            model_name="trackedtable",
            name="baseline_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When `baseline_seq` was taken: the time of its images.",
                null=True,
            ),
        ),
        run_sql_file("auditing", "0001_columns.sql", reverse=_REVERSE),
        run_sql_file("auditing", "0004_statements.sql", reverse=""),
        run_sql_file("auditing", "0005_capture.sql", reverse=""),
        run_sql_file("auditing", "0006_tables.sql", reverse=""),
    ]
