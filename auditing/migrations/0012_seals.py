"""Seals: blocks, sections, redactions, removals, and a transaction's number in the log."""

import auditing.models.numbering
import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from operations.sql_files import run_sql_file

_REVERSE = """
DROP FUNCTION IF EXISTS custody.audit_xid(), custody.audit_snapshot(), custody.audit_tag(text);
DROP TABLE IF EXISTS custody.auditing_numbering;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('auditing', '0011_baseline_first'),
    ]

    operations = [
        run_sql_file("auditing", "0008_numbering.sql", reverse=_REVERSE),
        migrations.CreateModel(
            name='RedactedValue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.IntegerField(help_text='Of the leaf in its section, from 0.')),
                ('name', models.TextField(help_text="As in the leaf: a column's, or rest.7.")),
                ('commitment', models.BinaryField(null=True)),
                ('salt', models.BinaryField(null=True)),
                ('run_id', models.BigIntegerField()),
                ('xid', models.BigIntegerField(db_default=auditing.models.numbering.CurrentTransaction(), editable=False)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Removal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('purged', 'Purged with their records'), ('retired', 'Retired at the end of their term'), ('carried', 'Carried forward')], max_length=10)),
                ('run_id', models.BigIntegerField(null=True)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('until', models.DateTimeField(null=True)),
                ('numbers', django.contrib.postgres.fields.ArrayField(base_field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=2), default=list, help_text='Of versions: ranges of their numbers, both ends in.', size=None)),
                ('images', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, help_text="Of images of a baseline, which share a number: their records' tags.", size=None)),
                ('versions', models.BigIntegerField(default=0, help_text='How many.')),
                ('xid', models.BigIntegerField(db_default=auditing.models.numbering.CurrentTransaction(), editable=False)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='SealBlock',
            fields=[
                ('number', models.BigIntegerField(help_text='From 1, without a gap.', primary_key=True, serialize=False)),
                ('header', models.TextField(help_text='As it was signed, byte by byte.')),
                ('hash', models.CharField(help_text='SHA-256 of the header, in hex.', max_length=64)),
                ('signature', models.CharField(help_text='Ed25519, base64.', max_length=100)),
                ('key_id', models.CharField(max_length=16)),
                ('leaves', models.IntegerField()),
                ('made_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'sealed block',
                'ordering': ['-number'],
            },
        ),
        migrations.CreateModel(
            name='SealPosition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('chain', models.UUIDField()),
                ('snapshot', models.TextField(blank=True, help_text='custody.audit_snapshot() up to which all is sealed; empty at first.')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, help_text='When that pass began.')),
                ('target', models.TextField(blank=True, help_text='Of the pass under way; empty: there is none.')),
                ('target_at', models.DateTimeField(blank=True, null=True)),
                ('todo', models.JSONField(default=list, help_text='What is left of the pass: see seal_plan.')),
                ('baselines', models.JSONField(default=dict, help_text='Tables whose baseline may still write images, and since when.')),
                ('anchored', models.BigIntegerField(default=0, help_text='The last block with a locked anchor.')),
                ('anchored_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='SealSection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.IntegerField(help_text='Of its first leaf in the block, from 0.')),
                ('source', models.CharField(help_text='The table: history.shop__orders.', max_length=130)),
                ('form', models.CharField(help_text='See auditing.seals.headers.Form.', max_length=10)),
                ('first', models.BigIntegerField(help_text='Least of its numbers.')),
                ('last', models.BigIntegerField()),
                ('first_statement', models.BigIntegerField(null=True)),
                ('last_statement', models.BigIntegerField(null=True)),
                ('first_at', models.DateTimeField(null=True)),
                ('last_at', models.DateTimeField(null=True)),
                ('meta', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ('names', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ('ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='Of a version its number, of a row its key.', size=None)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='Where many have one number: what tells their records apart.', null=True, size=None)),
                ('hashes', models.BinaryField(help_text='The leaves, 32 bytes each.')),
                ('secret', models.BinaryField(help_text='The salts are made from it; or:', null=True)),
                ('salts', models.BinaryField(help_text='They stand here, those of redacted values as zeros.', null=True)),
            ],
            options={
                'ordering': ['block', 'place'],
            },
        ),
        migrations.AddField(
            model_name='auditevent',
            name='xid',
            field=models.BigIntegerField(db_default=auditing.models.numbering.CurrentTransaction(), editable=False),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='kind',
            field=models.CharField(choices=[('track', 'Audit began'), ('untrack', 'Audit ended'), ('sync', 'Adjusted to changed columns'), ('ddl', 'Columns changed'), ('purge', 'Purge'), ('retire', 'History retired'), ('redact', 'Values redacted')], max_length=10),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['xid'], name='event_xid'),
        ),
        migrations.AddField(
            model_name='removal',
            name='tracked',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='removals', to='auditing.trackedtable'),
        ),
        migrations.AddIndex(
            model_name='sealblock',
            index=models.Index(fields=['made_at'], name='seal_block_made'),
        ),
        migrations.AddField(
            model_name='sealsection',
            name='block',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sections', to='auditing.sealblock'),
        ),
        migrations.AddField(
            model_name='sealsection',
            name='tracked',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='sections', to='auditing.trackedtable'),
        ),
        migrations.AddField(
            model_name='redactedvalue',
            name='section',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='redacted', to='auditing.sealsection'),
        ),
        migrations.AddIndex(
            model_name='removal',
            index=models.Index(fields=['tracked', 'id'], name='removal_tracked'),
        ),
        migrations.AddIndex(
            model_name='removal',
            index=models.Index(fields=['run_id'], name='removal_run'),
        ),
        migrations.AddIndex(
            model_name='removal',
            index=models.Index(fields=['xid'], name='removal_xid'),
        ),
        migrations.AddIndex(
            model_name='sealsection',
            index=models.Index(fields=['source', 'form', 'first'], name='seal_section_first'),
        ),
        migrations.AddIndex(
            model_name='sealsection',
            index=models.Index(fields=['source', 'form', 'first_statement'], name='seal_section_said'),
        ),
        migrations.AddConstraint(
            model_name='sealsection',
            constraint=models.UniqueConstraint(fields=('block', 'place'), name='seal_section_place'),
        ),
        migrations.AddIndex(
            model_name='redactedvalue',
            index=models.Index(fields=['run_id'], name='redacted_run'),
        ),
        migrations.AddIndex(
            model_name='redactedvalue',
            index=models.Index(fields=['xid'], name='redacted_xid'),
        ),
        migrations.AddConstraint(
            model_name='redactedvalue',
            constraint=models.UniqueConstraint(fields=('section', 'place', 'name'), name='redacted_once'),
        ),
    ]
