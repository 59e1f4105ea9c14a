"""What verifications of the log found."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('auditing', '0015_evidence'),
    ]

    operations = [
        migrations.CreateModel(
            name='VerifyFinding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('run_id', models.BigIntegerField()),
                ('kind', models.CharField(choices=[('altered', 'Altered'), ('missing', 'Missing'), ('added', 'Added'), ('chain', 'Block or header'), ('anchor', 'Anchor'), ('proof', 'Removed or redacted without proof'), ('live', 'Changed past the audit'), ('capture', 'Capture switched off')], max_length=10)),
                ('source', models.CharField(blank=True, help_text='The table of the row.', max_length=130)),
                ('record_id', models.TextField(blank=True)),
                ('number', models.BigIntegerField(help_text="Of the version, or the row's key.", null=True)),
                ('block', models.BigIntegerField(null=True)),
                ('text', models.TextField(help_text='What is wrong, in a sentence.')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('tracked', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='findings', to='auditing.trackedtable')),
            ],
            options={
                'verbose_name': 'finding',
                'ordering': ['id'],
                'indexes': [models.Index(fields=['run_id', 'id'], name='finding_run')],
            },
        ),
    ]
