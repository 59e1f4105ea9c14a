from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("operations", "0003_roles")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="run",
            name="losses",
            field=models.PositiveIntegerField(
                default=0,
                help_text="Owners that were lost since the last step that was committed.",
            ),
        ),
    ]
