"""What keeps a detached partition as it was archived."""

from django.db import migrations

from operations.sql_files import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("retention", "0005_archive_destroyed_by")]

    operations = [
        run_sql_file(
            "retention", "0001_partition_guard.sql", reverse="DROP FUNCTION custody.partition_guard()"
        )
    ]
