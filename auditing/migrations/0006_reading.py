"""What the history shows to SQL."""

from django.db import migrations

from operations.sql_files import run_sql_file


class Migration(migrations.Migration):

    dependencies = [("auditing", "0005_commits")]

    operations = [
        run_sql_file(
            "auditing",
            "0004_reading.sql",
            reverse="""
            DROP FUNCTION IF EXISTS custody.as_of(anyelement, timestamptz, text);
            DROP FUNCTION IF EXISTS custody.as_of(regclass, timestamptz, text);
            DROP FUNCTION IF EXISTS custody.as_of(text, timestamptz, text);
            DROP FUNCTION IF EXISTS custody.audit_log_of(text, text);
            DROP FUNCTION IF EXISTS custody.audit_tracked_at(oid, text, timestamptz);
            DROP FUNCTION IF EXISTS custody.audit_base_type(oid);
            DROP VIEW custody.audit_log;
            DROP FUNCTION IF EXISTS custody.audit_json(text, text) CASCADE;
            """,
        )
    ]
