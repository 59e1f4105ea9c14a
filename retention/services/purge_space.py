"""What a purge did to the disk: bytes that are the operating system's again, apart from bytes that
the table itself uses again, and what clears up.

A DELETE leaves dead rows in the table's files. VACUUM makes their place free for new rows of the
same table; the files stay as large, unless their last pages came to be empty. Only dropping a
table, or writing it anew (VACUUM FULL, pg_repack), gives room back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.models import Run
from retention.selectors.table_space import TableSpace, table_space
from retention.services.partition_state import PartitionState

DUE_SHARE = 0.1
"""From this share of rows deleted a VACUUM (ANALYZE) is worth its while."""
REWRITE_SHARE = 0.5
"""From this share of a table empty, writing it anew is worth a thought ..."""
REWRITE_BYTES = 100 << 20
"""... when it would give back so much."""


@dataclass(frozen=True)
class PurgeSpace:
    returned_bytes: int
    """Size of what was dropped: heaps, TOAST and indexes."""
    reusable_bytes: int | None
    """In the table's files, estimated from the average row; None when never analysed."""
    vacuum: str
    """`autovacuum`: it comes by itself; `due`: run `vacuum_command`; empty: not needed yet."""
    vacuum_command: str
    hint: str
    """For people; empty when there is nothing to do."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def purge_space(run: Run) -> PurgeSpace:
    """After the run's last batch. Reads statistics only."""
    state = PartitionState.of(run.cursor)
    returned = state.dropped_bytes
    deleted = run.done - state.dropped_rows
    name = TableName(*run.parameters["table"])
    try:
        table = read_table(name, using=run.database)
    except NoSuchTable:
        return PurgeSpace(returned, 0, "", "", "")
    space = table_space(table.leaves or (table.name,), using=run.database)
    reusable = round(deleted * space.width) if space.width or not deleted else None
    if not deleted:
        return PurgeSpace(returned, 0, "", "", "")
    return _judged(name, deleted, reusable, returned, space)


def _judged(
    name: TableName, deleted: int, reusable: int | None, returned: int, space: TableSpace
) -> PurgeSpace:
    # Statistics may be from before the purge or from after it.
    known = max(space.rows, deleted)
    if deleted < DUE_SHARE * known:
        return PurgeSpace(returned, reusable, "", "", "")
    command = f"VACUUM (ANALYZE) {name};"
    share = f"{deleted / known:.0%} of the rows of {name} were deleted"
    if space.autovacuum and max(space.dead, deleted) > space.threshold:
        vacuum = "autovacuum"
        hint = f"{share}: autovacuum comes by itself, and makes their place free for new rows."
    else:
        vacuum = "due"
        why = "autovacuum is switched off" if not space.autovacuum else "autovacuum waits for more"
        hint = f"{share}, and {why}: run {command}"
    return PurgeSpace(returned, reusable, vacuum, command, hint + _rewriting(name, space, reusable))


def _rewriting(name: TableName, space: TableSpace, reusable: int | None) -> str:
    if not reusable or reusable < REWRITE_BYTES or reusable < REWRITE_SHARE * space.heap:
        return ""
    return (
        " The files stay as large as they are. If the room is needed elsewhere: "
        f"VACUUM FULL {name}; (nobody reads or writes the table meanwhile, and it needs room for "
        "a second copy), or the extension pg_repack, which locks it for moments only."
    )
