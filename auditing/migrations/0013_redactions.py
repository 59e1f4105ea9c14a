"""The view by which redactions are sealed."""

from django.db import migrations

from operations.sql_files import run_sql_file


class Migration(migrations.Migration):

    dependencies = [
        ('auditing', '0012_seals'),
    ]

    operations = [
        run_sql_file(
            "auditing",
            "0010_redactions.sql",
            reverse="DROP VIEW IF EXISTS custody.auditing_redaction;",
        ),
    ]
