"""What a restore and its rehearsal share: the target, the stage, and the order of the parts."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections
from psycopg import sql

from operations.encryption import refuse_unreadable
from operations.runs.kinds import Beat
from operations.storage import storage
from retention.exceptions import RestoreRefused
from retention.models import Archive, ArchivePart
from retention.selectors.restore_choice import RestoreChoice
from retention.selectors.restore_target import RestoreTarget, restore_target
from retention.services.layout import COPY_OPTIONS, FORMAT, session_pin
from retention.services.restore_copies import Copies
from retention.services.restore_selection import Selection
from retention.services.restore_slice import SliceRestore
from retention.services.restore_stage import Stage
from retention.services.restore_verdicts import Lines

MOST_NAMED = 100
"""Conflicts that are named one by one; the others are counted."""


class RestoreWork:
    """One archive and its table, as this session sees them."""

    def __init__(
        self,
        archive: Archive,
        choice: RestoreChoice,
        *,
        belonging: sql.Composable | None = None,
        using: str,
    ) -> None:
        """
        Args:
            belonging: a condition on the stage as `s`, true for the rows that go along with others.

        Raises:
            RestoreRefused, IdentityNeeded: with what is in the way.
            ConditionRefused, UsageError: the choice does not fit the archive.
        """
        refuse_unready(archive)
        refuse_unreadable(archive.recipients)
        self.archive, self.using = archive, using
        self.target: RestoreTarget = restore_target(archive, choice, using=using)
        self._settings: dict[str, str] = archive.layout["session"]
        conversions = [each.conversion for each in self.target.columns if each.conversion]
        self.stage = Stage(
            self.target.staged, conversions, storage(), settings=self._settings, using=using
        )
        self._copies = Copies(self.target, self.stage, using=using)
        self._selection = Selection(archive, choice, belonging, using=using)
        self.parts: list[ArchivePart] = self._selection.parts

    def prepare(self, part: ArchivePart, beat: Beat) -> None:
        """Stages what is wanted of the part, holding no lock on the table."""
        if self.target.key is None:
            self._copies.count(self.parts, self._selection.chosen, beat)
        self.stage.fill(part, beat, self._selection.chosen(part))

    def rows(self, part: ArchivePart, limit: Callable[[], None]) -> SliceRestore:
        """The staged part, to be put back. `limit`: see SliceRestore."""

        def known(lines: Lines) -> sql.Composable:
            return self._copies.known(part, lines)

        return SliceRestore(
            self.target,
            known=known if self.target.key is None else None,
            limit=limit,
            using=self.using,
        )

    def clear(self) -> None:
        """Drops the temporary tables: while they are there, their columns' types are in use."""
        self._copies.drop()
        self.stage.drop()

    def pin(self) -> None:
        session_pin(self.using, self._settings)

    def lock_against_ddl(self) -> None:
        """Waits, at most for the lock timeout, and keeps the table's shape until the commit."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(
                    self.target.table.name.sql
                )
            )


def refuse_unready(archive: Archive) -> None:
    """Raises RestoreRefused for an archive that is not closed, or that a newer version wrote."""
    if archive.state == Archive.State.DESTROYED:
        raise RestoreRefused(
            f"{archive.name} was destroyed on {archive.destroyed_at:%Y-%m-%d}: its term was over."
        )
    if archive.state != Archive.State.COMPLETE:
        run = archive.run
        raise RestoreRefused(
            f"{archive.name} is still being written by run {run.pk}, which is "
            f"{run.current.label.lower()}: let that run end, or cancel it "
            f"(manage.py run_cancel {run.pk}), then restore."
        )
    if archive.layout.get("format") != FORMAT or archive.layout["copy"] != COPY_OPTIONS:
        raise RestoreRefused(
            f"{archive.name} has the format {archive.layout.get('format')}, which this version of "
            f"Custody cannot read (it reads {FORMAT})."
        )
