"""Which rows of an archive are to go back: in which parts they can be, and how each is told."""

from __future__ import annotations

from psycopg import sql

from operations.catalogue.types import TableName
from operations.exceptions import UsageError
from operations.storage import storage
from retention.models import Archive, ArchivePart
from retention.selectors.archive_parts import parts_with
from retention.selectors.archived_columns import archived_columns, archived_table
from retention.selectors.restore_choice import RestoreChoice
from retention.selectors.restore_columns import StagedColumn
from retention.services.archive_rows import staged_condition
from retention.services.restore_stage import Chosen, Stage


class Selection:
    """The choice for one archive."""

    def __init__(
        self,
        archive: Archive,
        choice: RestoreChoice,
        belonging: sql.Composable | None = None,
        *,
        using: str,
    ) -> None:
        """`belonging`: a condition on the stage as `s`, true for rows that go along with others.

        Raises ConditionRefused, UsageError: the choice names what the archive does not have.
        """
        self.archive, self._choice, self._belonging = archive, choice, belonging
        self._using = using
        self._columns = archived_columns(archive.layout, using=using)
        where = choice.where
        self._where = staged_condition(where, self._columns) if where is not None else None
        name = TableName(archive.schema_name, archive.table_name)
        table = archived_table(name, archive.layout, self._columns)
        parts = parts_with(archive, table, where, using=using)
        if choice.rows:
            numbers = {number for number, _ in choice.rows}
            _refuse_missing(parts, choice)
            parts = [part for part in parts if part.number in numbers]
        # Rows that were referred to went after those that referred to them.
        self.parts: list[ArchivePart] = parts[::-1]

    @property
    def whole(self) -> bool:
        return not self._choice.some and self._belonging is None

    def chosen(self, part: ArchivePart) -> Chosen:
        where = self._where
        if self._choice.rows:
            lines = [line for number, line in self._choice.rows if number == part.number]
            where = sql.SQL("line = ANY ({}::pg_catalog.int8[])").format(sql.Literal(lines))
        return Chosen(where, self._belonging)

    def stage(self) -> Stage:
        """To look at the rows: it needs no table that they could go to."""
        columns = [StagedColumn(each.name, each.read_as) for each in self._columns]
        session: dict[str, str] = self.archive.layout["session"]
        return Stage(columns, (), storage(), settings=session, using=self._using)


def _refuse_missing(parts: list[ArchivePart], choice: RestoreChoice) -> None:
    rows = {part.number: part.rows for part in parts}
    for number, line in choice.rows:
        if not 0 < line <= rows.get(number, 0):
            raise UsageError(f"The archive has no row {number}:{line}: archive_search names them.")
