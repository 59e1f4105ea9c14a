from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("auditing", "0018_marks")]

    operations = [
        migrations.AlterModelOptions(
            name="sealblock",
            options={
                "ordering": ["-number"],
                "permissions": [
                    ("export_evidence", "Can export evidence from the audit log"),
                    ("seal_now", "Can seal the audit log now"),
                    ("verify_log", "Can verify the audit log"),
                    ("redact_value", "Can ask for values to be redacted"),
                ],
                "verbose_name": "sealed block",
            },
        ),
    ]
