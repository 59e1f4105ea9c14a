"""What PostgreSQL's system catalogue says about tables, as values.

Source: PostgreSQL's manual, chapter 52 "System Catalogs".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from psycopg import sql

from operations.catalogue.identifiers import Identifier, quoted

Kind = Literal["base", "enum", "range", "multirange", "composite", "array"]
OnDelete = Literal["no action", "restrict", "cascade", "set null", "set default"]


@dataclass(frozen=True, order=True)
class TableName:
    """A table's schema and name, unquoted, as the catalogue has them."""

    schema: str
    name: str

    def __str__(self) -> str:
        """`schema.name`, each part quoted only where PostgreSQL wants it quoted."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def sql(self) -> sql.Identifier:
        return Identifier(self.schema, self.name)


@dataclass(frozen=True)
class Column:
    name: str
    position: int
    """attnum: stays the same when the column is renamed."""
    type: str
    """As format_type() prints it, schema-qualified outside pg_catalog: `numeric(10,2)`."""
    base_type: str
    """The type under a domain, without modifiers: `int4`, `timestamptz`, `int4[]`, `shop.status`.

    Of a type of pg_catalog the name there, of any other what format_type() prints."""
    kind: Kind | Literal["domain"]
    category: str
    """pg_type.typcategory of the base type: D date/time, N numeric, S string, B boolean ..."""
    not_null: bool
    generated: Literal["", "stored", "virtual"]
    identity: Literal["", "always", "by default"]
    has_default: bool
    """One of the column's own; a generated column has none."""
    collation: str
    """As it stands after COLLATE; empty for none and for the database's default."""
    base_schema: str = "pg_catalog"
    base_name: str = ""
    """With `base_schema`, the base type as pg_type has it: a cast to it has no modifiers."""
    base_kind: Kind = "base"

    @property
    def sql(self) -> sql.Identifier:
        return Identifier(self.name)


@dataclass(frozen=True)
class Key:
    """A primary key or a unique constraint or index that is valid, immediate and not partial."""

    name: str
    columns: tuple[str, ...]
    primary: bool


@dataclass(frozen=True)
class ForeignKey:
    name: str
    table: TableName
    columns: tuple[str, ...]
    references: TableName
    referenced_columns: tuple[str, ...]
    on_delete: OnDelete
    indexed: bool
    """An index of `table` starts with these columns (in any order): a delete need not scan."""
    operators: tuple[tuple[str, str], ...] = ()
    """Schema and name of what compares each referenced column, on its left, with its own."""
    temporal: bool = False
    """With PERIOD: the last column lies within the periods of one row or of several."""


@dataclass(frozen=True)
class Trigger:
    name: str
    function: str
    timing: Literal["before", "after", "instead of"]
    events: tuple[str, ...]
    level: Literal["row", "statement"]
    enabled: Literal["origin", "disabled", "replica", "always"]


@dataclass(frozen=True)
class Table:
    name: TableName
    oid: int
    kind: Literal["table", "partitioned", "foreign"]
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    """Primary key first, then unique keys by name."""
    foreign_keys: tuple[ForeignKey, ...]
    """Its own; a partition's copies of its root's are the root's."""
    referenced_by: tuple[ForeignKey, ...]
    """Those that point at its rows: at it, at a partition of it, at what it is a partition of."""
    triggers: tuple[Trigger, ...]
    partition_of: TableName | None
    partition_bound: str
    """`FOR VALUES FROM (...) TO (...)`, `DEFAULT`, or empty."""
    partition_key: str
    """`RANGE (created_at)`, or empty for a table that is not partitioned."""
    leaves: tuple[TableName, ...]
    """The leaf partitions of a partitioned table, by name; empty for a plain table."""
    row_security: bool
    """Row-level security, of the table or a partition below it, binds the role that asks."""
    estimated_rows: int
    """From statistics, for the pages there are now; the sum over leaves; -1 when never analysed."""
    estimated_bytes: int
    """Heap, TOAST and indexes; the sum over leaves."""
    pages: int = 0
    """Heap pages now (pg_relation_size / block size); the sum over leaves."""
    comment: str = ""
    heirs: tuple[TableName, ...] = ()
    """Tables that INHERIT from it without being partitions: their rows show in it too."""
    _by_name: dict[str, Column] = field(default_factory=dict, compare=False, repr=False)

    @property
    def primary_key(self) -> Key | None:
        return next((key for key in self.keys if key.primary), None)

    @property
    def key(self) -> Key | None:
        """What names a row: the primary key, else a unique key whose columns are all NOT NULL."""
        if self.primary_key:
            return self.primary_key
        required = {column.name for column in self.columns if column.not_null}
        return next((key for key in self.keys if set(key.columns) <= required), None)

    def column(self, name: str) -> Column | None:
        if not self._by_name:
            self._by_name.update({column.name: column for column in self.columns})
        return self._by_name.get(name)
