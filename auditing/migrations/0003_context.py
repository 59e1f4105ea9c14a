"""What the application says of a change, and what the capture makes of it."""

from django.db import migrations

from operations.sql_files import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("auditing", "0002_log_indexes")]

    operations = [
        run_sql_file(
            "auditing",
            "0002_context.sql",
            reverse="""
            DROP FUNCTION custody.audit_reason_missing(text);
            DROP FUNCTION custody.audit_context(text);
            DROP FUNCTION custody.audit_context_read(text);
            DROP FUNCTION custody.context_user();
            DROP FUNCTION custody.clear_context();
            DROP FUNCTION custody.set_context(text, text, text, text, text, text, text, jsonb);
            """,
        )
    ]
