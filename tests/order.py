"""The order of the files: the longest first, so that at the end no worker is left alone with one.

xdist gives each file to one worker (`--dist loadfile --no-loadscope-reorder`), in this order: what
a file makes once, such as a server, is then made once. A name that is missing here costs only time.
"""

from __future__ import annotations

import pytest

LONGEST = (
    "retention/test_state_machine.py",
    "config/test_roles_sql.py",
    "browser/test_roles.py",
    "config/test_serve.py",
    "retention/test_purge_dependents.py",
    "retention/test_purge_writers.py",
    "config/test_beside_another_project.py",
    "retention/test_purge_dependents_races.py",
    "config/test_embedded_accounts.py",
    "retention/test_archive_round_trip.py",
    "retention/test_purge_fencing.py",
    "browser/test_policy_by_two_people.py",
    "browser/test_watch_a_run.py",
    "retention/test_purge_s3_killed.py",
    "retention/test_purge_s3.py",
    "retention/test_purge_partitions_killed.py",
    "retention/test_purge_partitions_detached.py",
    "retention/test_purge_killed.py",
    "retention/test_archive_restore_killed.py",
    "config/test_embedded_recovery.py",
    "config/test_embedded_sharing.py",
    "config/test_embedded_postgres.py",
    "config/test_doctor.py",
    "operations/test_condition_meaning.py",
)


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts them by file; within a file they stay as they are."""
    files = {name: place for place, name in enumerate(LONGEST)}
    seen: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[int, int]:
        name = f"{item.path.parent.name}/{item.path.name}"
        return files.get(name, len(files)), seen.setdefault(name, len(seen))

    items.sort(key=place)
