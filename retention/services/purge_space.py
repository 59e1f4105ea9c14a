"""What a purge did to the disk: bytes that are the operating system's again, apart from bytes that
the table itself uses again, and what clears up.

A DELETE leaves dead rows in the table's files. VACUUM makes their place free for new rows of the
same table; the files stay as large, unless their last pages came to be empty. Only dropping a
table, or writing it anew (VACUUM FULL, pg_repack), gives room back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
    """`due`: run `vacuum_command`; `autovacuum`: it comes by itself; empty: not needed yet."""
    vacuum_command: str
    hint: str
    """For people; empty when there is nothing to do."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def purge_space(run: Run, *, removed: Mapping[TableName, int]) -> PurgeSpace:
    """After the run's last batch. Reads statistics only.

    Args:
        removed: rows that are gone, by table; the policy's own comes first.
    """
    state = PartitionState.of(run.cursor)
    own = next(iter(removed))
    looked = [
        _looked(name, rows - (state.dropped_rows if name == own else 0), run.database)
        for name, rows in removed.items()
    ]
    amounts = [each.reusable_bytes for each in looked]
    return PurgeSpace(
        returned_bytes=state.dropped_bytes,
        reusable_bytes=None if None in amounts else sum(filter(None, amounts)),
        vacuum=max((each.vacuum for each in looked), key=("", "autovacuum", "due").index),
        vacuum_command=" ".join(each.vacuum_command for each in looked if each.vacuum == "due"),
        hint=" ".join(each.hint for each in looked if each.hint),
    )


def _looked(name: TableName, deleted: int, using: str) -> PurgeSpace:
    """One table, from which so many rows were deleted."""
    nothing = PurgeSpace(0, 0, "", "", "")
    try:
        table = read_table(name, using=using)
    except NoSuchTable:
        return nothing
    if not deleted:
        return nothing
    space = table_space(table.leaves or (table.name,), using=using)
    reusable = round(deleted * space.width) if space.width else None
    # Statistics may be from before the purge or from after it.
    known = max(space.rows, deleted)
    if deleted < DUE_SHARE * known:
        return replace(nothing, reusable_bytes=reusable)
    command = f"VACUUM (ANALYZE) {name};"
    hint = f"{deleted / known:.0%} of the rows of {name} were deleted"
    if space.autovacuum and space.comes:
        vacuum = "autovacuum"
        hint += ": autovacuum comes by itself, and makes their place free for new rows."
    else:
        vacuum = "due"
        why = "autovacuum waits for more" if space.autovacuum else "autovacuum is switched off"
        hint += f", and {why}: run {command}"
    return PurgeSpace(0, reusable, vacuum, command, hint + _rewriting(name, space, reusable))


def _rewriting(name: TableName, space: TableSpace, reusable: int | None) -> str:
    if not reusable or reusable < REWRITE_BYTES or reusable < REWRITE_SHARE * space.heap:
        return ""
    return (
        " The files stay as large as they are. If the room is needed elsewhere: "
        f"VACUUM FULL {name}; (nobody reads or writes the table meanwhile, and it needs room for "
        "a second copy), or the extension pg_repack, which locks it for moments only."
    )
