"""What stands around a table with soft delete: view, guards, policies, captured deletes."""

from typing import ClassVar

from django.db import migrations, models

from operations.sql_files import run_sql_file

_FILES = (
    "0003_softdelete_shield.sql",
    "0008_softdelete_capture.sql",
    "0009_softdelete_guards.sql",
    "0010_softdelete_events.sql",
)
_DROP = """
DO $block$
DECLARE
    made record;
BEGIN
    DROP TRIGGER softdelete_captured_end ON custody.retention_deletiontable;
    FOR made IN
        -- As text, all at once: one may go with another that it needs.
        SELECT unnest(array_agg(p.oid::regprocedure::text)) AS signature FROM pg_proc p
        WHERE p.pronamespace = 'custody'::regnamespace AND p.proname IN (
            'active_view_drop', 'active_view_make', 'softdelete_back', 'softdelete_bin',
            'softdelete_capture', 'softdelete_capture_triggers', 'softdelete_captured_deletion',
            'softdelete_captured_end', 'softdelete_captured_stays', 'softdelete_children',
            'softdelete_columns', 'softdelete_ddl_end', 'softdelete_ddl_start',
            'softdelete_entry', 'softdelete_follow_change', 'softdelete_give_way',
            'softdelete_guard', 'softdelete_guard_query',
            'softdelete_has_column', 'softdelete_names', 'softdelete_own', 'softdelete_own_done',
            'softdelete_owned', 'softdelete_policies_drop', 'softdelete_policies_make',
            'softdelete_put', 'softdelete_shield_drop', 'softdelete_shield_make',
            'softdelete_stay', 'softdelete_there', 'softdelete_tree', 'softdelete_triggers',
            'softdelete_triggers_make', 'softdelete_truncate', 'softdelete_view',
            'softdelete_view_drop', 'softdelete_view_facts', 'softdelete_view_make')
    LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', made.signature);
    END LOOP;
END
$block$
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("retention", "0009_softdelete_engine")]

    operations: ClassVar = [
        migrations.AddField(
            "softdeletetable",
            "view_kept",
            models.JSONField(
                default=dict,
                db_default={},
                help_text="Who owns the view and may read it, kept while it is made again.",
            ),
        ),
        *(
            run_sql_file("retention", name, reverse=_DROP if name == _FILES[-1] else "")
            for name in _FILES
        ),
    ]
