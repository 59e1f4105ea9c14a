"""The order of the files: the longest first, so that at the end no worker is left alone with one.

xdist gives each file to one worker (`--dist loadfile --no-loadscope-reorder`), in this order: what
a file makes once, such as a server, is then made once. A name that is missing here costs only time.
"""

from __future__ import annotations

import pytest

LONGEST = (
    "config/test_roles_sql.py",
    "config/test_serve.py",
    "retention/test_purge_dependents.py",
    "retention/test_purge_s3_killed.py",
    "browser/test_roles.py",
    "browser/test_watch_a_run.py",
    "retention/test_archive_restore_killed.py",
    "browser/test_policy_by_two_people.py",
    "retention/test_purge_fencing.py",
    "retention/test_purge_writers.py",
    "retention/test_purge_dependents_races.py",
    "retention/test_archive_round_trip.py",
    "auditing/test_audit_machine.py",
    "retention/test_purge_s3.py",
    "config/test_admin_permissions.py",
    "config/test_beside_another_project.py",
    "retention/test_purge_partitions_detached.py",
    "auditing/test_revert_changes.py",
    "auditing/test_summaries_killed.py",
    "retention/test_hold_concurrent.py",
    "browser/test_audit.py",
    "retention/test_archive_encrypted.py",
    "auditing/test_purge_audited_killed.py",
    "retention/test_purge_server_killed.py",
    "retention/test_purge_dependents_killed.py",
    "operations/test_storage_protocol.py",
    "retention/test_purge_partitions_killed.py",
    "operations/test_tasks.py",
    "retention/test_purge_run.py",
    "retention/test_archive_verify.py",
    "config/test_embedded_sharing.py",
    "retention/test_archive_expire.py",
    "retention/test_purge_killed.py",
    "config/test_doctor.py",
    "retention/test_preview_counts.py",
    "auditing/test_history_retention.py",
    "retention/test_policy_change.py",
    "retention/test_archive_restore.py",
    "auditing/test_capture_ddl.py",
    "auditing/test_restore_round_trip.py",
    "retention/test_hold_purge.py",
    "retention/test_archive_restore_family.py",
    "operations/test_storage_s3_locks.py",
    "auditing/test_capture_killed.py",
    "operations/test_certificates.py",
    "retention/test_purge_changes.py",
)


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts them by file; within a file they stay as they are."""
    files = {name: place for place, name in enumerate(LONGEST)}
    seen: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[int, int]:
        name = f"{item.path.parent.name}/{item.path.name}"
        return files.get(name, len(files)), seen.setdefault(name, len(seen))

    items.sort(key=place)
