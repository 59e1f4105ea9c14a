"""From the rows of the catalogue's queries to tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from operations.catalogue.queries import Row
from operations.catalogue.types import Column, ForeignKey, Key, Table, TableName, Trigger


def assemble(
    *,
    heads: Iterable[Row],
    columns: Iterable[Row],
    keys: Iterable[Row],
    foreign_keys: Iterable[Row],
    triggers: Iterable[Row],
) -> list[Table]:
    """The tables, by name. `foreign_keys` go to the tables at both ends."""
    columns_of = defaultdict(list)
    for row in columns:
        columns_of[row.pop("table_oid")].append(Column(**row))
    keys_of = defaultdict(list)
    for row in keys:
        keys_of[row["table_oid"]].append(Key(row["name"], tuple(row["columns"]), row["primary"]))
    triggers_of = defaultdict(list)
    for row in triggers:
        events = tuple(row.pop("events"))
        triggers_of[row.pop("table_oid")].append(Trigger(**row, events=events))
    from_table, to_table = defaultdict(list), defaultdict(list)
    for row in foreign_keys:
        key = _foreign_key(row)
        from_table[row["table_oid"]].append(key)
        to_table[row["referenced_oid"]].append(key)
    return sorted(
        (
            Table(
                name=TableName(head["schema"], head["name"]),
                oid=(oid := head["oid"]),
                kind=head["kind"],
                columns=tuple(columns_of[oid]),
                keys=tuple(keys_of[oid]),
                foreign_keys=_in_order(from_table[oid]),
                referenced_by=_in_order(
                    key for related in head["related"] for key in to_table[related]
                ),
                triggers=tuple(triggers_of[oid]),
                partition_of=(
                    TableName(head["parent_schema"], head["parent_name"])
                    if head["parent_name"] is not None
                    else None
                ),
                partition_bound=head["partition_bound"],
                partition_key=head["partition_key"],
                leaves=_names(head["leaf_schemas"], head["leaf_names"]),
                row_security=head["row_security"],
                estimated_rows=head["estimated_rows"],
                estimated_bytes=head["estimated_bytes"],
                pages=head["pages"],
                comment=head["comment"],
                heirs=_names(head["heir_schemas"], head["heir_names"]),
            )
            for head in heads
        ),
        key=lambda table: table.name,
    )


def _foreign_key(row: Row) -> ForeignKey:
    return ForeignKey(
        name=row["name"],
        table=TableName(row["schema"], row["table"]),
        columns=tuple(row["columns"]),
        references=TableName(row["referenced_schema"], row["referenced_table"]),
        referenced_columns=tuple(row["referenced_columns"]),
        on_delete=row["on_delete"],
        indexed=row["indexed"],
        operators=tuple(zip(row["operator_schemas"], row["operators"], strict=True)),
        temporal=row["temporal"],
    )


def _in_order(keys: Iterable[ForeignKey]) -> tuple[ForeignKey, ...]:
    return tuple(sorted(keys, key=lambda key: (key.table, key.name)))


def _names(schemas: list[str], names: list[str]) -> tuple[TableName, ...]:
    return tuple(sorted(map(TableName, schemas, names)))
