from django.db import migrations

from operations.sql_files import run_sql_file


class Migration(migrations.Migration):

    dependencies = [("auditing", "0004_summary_position")]

    operations = [
        run_sql_file(
            "auditing",
            "0003_commits.sql",
            reverse="DROP FUNCTION IF EXISTS custody.audit_open_at(timestamptz);"
            " DROP INDEX custody.transaction_long;",
        )
    ]
