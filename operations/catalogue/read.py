"""Reading tables from PostgreSQL's catalogue: a fixed number of queries, however many tables.

Any role may read the catalogue: no grant on the tables is needed. A size waits for a session that
holds its table in ACCESS EXCLUSIVE mode, and so does the reader: set lock_timeout where that
matters.
"""

from __future__ import annotations

from collections.abc import Collection

from operations.catalogue.assemble import assemble
from operations.catalogue.exceptions import AmbiguousTableName, NoSuchTable
from operations.catalogue.names import parse_table_name
from operations.catalogue.queries import rows
from operations.catalogue.types import Table, TableName

OWN_SCHEMAS = ("custody", "history")
"""The console's own: left out where no schema is asked for by name."""


def tables(*, using: str = "default", schemas: Collection[str] | None = None) -> list[Table]:
    """The tables of the schemas (None: of every schema of users), partitions included, by name.

    Temporary tables are left out.
    """
    return _read(_names(using=using, schemas=schemas).values(), using=using)


def tables_by_oid(oids: Collection[int], *, using: str = "default") -> dict[int, Table]:
    """The tables with these oids, whatever they are called now; what is gone is left out."""
    return {found.oid: found for found in _read(oids, using=using)}


def names_by_oid(oids: Collection[int], *, using: str = "default") -> dict[int, TableName]:
    """What the tables with these oids are called now; what is gone is left out."""
    found = rows("names_by_oid", {"oids": list(oids)}, using=using)
    return {row["oid"]: TableName(row["schema"], row["name"]) for row in found}


def table(name: TableName | str, *, using: str = "default") -> Table:
    """The table of this name; a name without schema is looked for in every schema of users.

    Raises:
        BadTableName: when the text is no name.
        NoSuchTable: with the names that are near.
        AmbiguousTableName: when several schemas have it.
    """
    oid, found = _resolve(name, using=using)
    read = _read([oid], using=using)
    if not read:  # Dropped since.
        raise NoSuchTable(found.schema, found.name)
    return read[0]


def table_name_resolve(text: str, *, using: str = "default") -> TableName:
    """Which table the text means. Raises what `table` raises."""
    return _resolve(text, using=using)[1]


def _resolve(wanted: TableName | str, *, using: str) -> tuple[int, TableName]:
    schema, name = (
        (wanted.schema, wanted.name) if isinstance(wanted, TableName) else parse_table_name(wanted)
    )
    schemas = None if schema is None else [schema]
    found = _names(using=using, schemas=schemas, name=name)
    if len(found) > 1:
        raise AmbiguousTableName(name, found)
    for candidate, oid in found.items():
        return oid, candidate
    raise NoSuchTable(schema, name, _names(using=using, schemas=None))


def _names(
    *, using: str, schemas: Collection[str] | None, name: str | None = None
) -> dict[TableName, int]:
    parameters = {
        "schemas": None if schemas is None else list(schemas),
        "own": list(OWN_SCHEMAS),
        "name": name,
    }
    return {
        TableName(row["schema"], row["name"]): row["oid"]
        for row in rows("names", parameters, using=using)
    }


def _read(wanted: Collection[int], *, using: str) -> list[Table]:
    if not wanted:
        return []
    oids = list(wanted)
    heads = rows("tables", {"oids": oids}, using=using)
    related = {oid for head in heads for oid in head["related"]}
    foreign_keys = rows(
        "foreign_keys", {"from_oids": oids, "to_oids": sorted(related)}, using=using
    )
    return assemble(
        heads=heads,
        columns=rows("columns", {"oids": oids}, using=using),
        keys=rows("keys", {"oids": oids}, using=using),
        foreign_keys=foreign_keys,
        triggers=rows("triggers", {"oids": oids}, using=using),
    )
