"""The order of the files: the longest first, so that at the end no worker is left alone with one.

xdist gives each file to one worker (`--dist loadfile --no-loadscope-reorder`), in this order: what
a file makes once, such as a server, is then made once. A name that is missing here costs only time.
"""

from __future__ import annotations

import pytest

LONGEST = (
    "config/test_serve.py",
    "browser/test_roles.py",
    "config/test_roles_sql.py",
    "retention/test_archive_round_trip.py",
    "retention/test_purge_writers.py",
    "retention/test_purge_dependents.py",
    "config/test_admin_permissions.py",
    "retention/test_softdelete_machine.py",
    "browser/test_policy_by_two_people.py",
    "browser/test_watch_a_run.py",
    "retention/test_purge_dependents_races.py",
    "auditing/test_seal_killed.py",
    "retention/test_purge_s3_killed.py",
    "retention/test_deletion_purge_killed.py",
    "config/test_embedded_sharing.py",
    "auditing/test_audit_machine.py",
    "retention/test_policy_soft_delete.py",
    "auditing/test_seal_restored.py",
    "retention/test_purge_s3.py",
    "operations/test_tasks.py",
    "auditing/test_revert_changes.py",
    "config/test_beside_another_project.py",
    "auditing/test_seal_retired.py",
    "retention/test_deletion_purge_graphs.py",
    "retention/test_purge_partitions_detached.py",
    "browser/test_audit.py",
    "retention/test_hold_concurrent.py",
    "auditing/test_verify_tampered.py",
    "auditing/test_purge_audited_killed.py",
    "auditing/test_capture_killed.py",
    "retention/test_purge_fencing.py",
    "retention/test_archive_encrypted.py",
    "operations/test_storage_protocol.py",
    "auditing/test_evidence_export.py",
    "retention/test_purge_partitions_killed.py",
    "retention/test_purge_killed.py",
    "auditing/test_verify_broken.py",
    "retention/test_archive_expire.py",
    "auditing/test_summaries_killed.py",
    "config/test_embedded_accounts.py",
    "retention/test_record_find_places.py",
    "config/test_embedded_recovery.py",
    "retention/test_purge_server_killed.py",
    "auditing/test_capture_ddl.py",
    "browser/test_bin.py",
    "auditing/test_history_retention.py",
    "retention/test_archive_restore.py",
    "retention/test_admin_bin.py",
    "retention/test_softdelete_enable_killed.py",
    "retention/test_archive_restore_killed.py",
    "retention/test_purge_changes.py",
    "retention/test_admin_bin_parts.py",
    "retention/test_archive_restore_family.py",
    "retention/test_archive_restore_conflicts.py",
    "retention/test_archive_restore_changed.py",
    "retention/test_deletion_purge_ordinary.py",
    "retention/test_purge_run.py",
    "auditing/test_evidence_tampered.py",
    "config/test_embedded_postgres.py",
    "operations/test_condition_meaning.py",
    "auditing/test_redact_archives.py",
    "retention/test_archive_verify.py",
    "auditing/test_purge_audited.py",
    "retention/test_preview_counts.py",
    "retention/test_policy_change.py",
    "operations/test_batch_walk.py",
    "retention/test_admin_policy_proposals.py",
    "operations/test_certificates.py",
    "operations/test_admin_runs.py",
    "retention/test_policy_file.py",
    "auditing/test_restore_round_trip.py",
    "auditing/test_record_find_history.py",
    "retention/test_purge_commit_cut.py",
    "browser/test_preview.py",
)


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts them by file; within a file they stay as they are."""
    files = {name: place for place, name in enumerate(LONGEST)}
    seen: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[int, int]:
        name = f"{item.path.parent.name}/{item.path.name}"
        return files.get(name, len(files)), seen.setdefault(name, len(seen))

    items.sort(key=place)
