"""The numbers of certificates. Gaps are fine: a number is taken before its files are written."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("operations", "0001_initial")]

    operations: ClassVar = [
        migrations.RunSQL(
            "CREATE SEQUENCE custody.certificate_number",
            "DROP SEQUENCE custody.certificate_number",
        ),
    ]
