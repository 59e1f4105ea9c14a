"""The capture of changes, and when a baseline began."""

from django.db import migrations, models

from operations.sql_files import run_sql_file

_REVERSE = """
DO $block$
DECLARE
    signature text;
BEGIN
    DROP EVENT TRIGGER IF EXISTS custody_audit_ddl;
    FOREACH signature IN ARRAY ARRAY(
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'custody'::regnamespace
          AND (p.proname LIKE 'audit\\_%' OR p.proname = 'capture_make')
          AND p.proname NOT IN ('audit_context', 'audit_context_read', 'audit_reason_missing',
              'audit_open_at', 'audit_log_of', 'audit_json', 'audit_tracked_at',
              'audit_base_type', 'audit_name'))
    LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', signature);
    END LOOP;
    DROP SEQUENCE custody.audit_seq, custody.audit_statement_seq;
END
$block$
"""


class Migration(migrations.Migration):
    dependencies = [("auditing", "0007_log_words")]

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
        run_sql_file("auditing", "0005_statements.sql", reverse=""),
        run_sql_file("auditing", "0006_capture.sql", reverse=""),
        run_sql_file("auditing", "0007_tables.sql", reverse=""),
    ]
