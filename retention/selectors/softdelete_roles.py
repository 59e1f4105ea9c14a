"""The roles from which row-level security would hide deleted rows, and whom it does not bind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections

from operations.catalogue.identifiers import quoted
from operations.catalogue.types import Table, TableName
from retention.selectors.queries import rows

_NAMED = """
SELECT r.rolname::text, r.rolsuper OR r.rolbypassrls,
       pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'), r.rolname = current_user
FROM pg_catalog.pg_roles r
JOIN pg_catalog.pg_class c ON c.oid = %(oid)s::pg_catalog.oid
WHERE r.rolname = ANY (%(names)s::text[])
ORDER BY 1
"""


@dataclass(frozen=True)
class HiddenFrom:
    roles: tuple[str, ...]
    obstacles: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def nobody(self) -> bool:
        """The policies would bind no role at all."""
        return not (self.roles or self.obstacles)


def hidden_from(
    table: Table, *, owner: str, asked: Sequence[str] | None, using: str = "default"
) -> HiddenFrom:
    """The roles that policies on the table will bind.

    Args:
        asked: those that the operator named; None: the roles that have privileges on the table
            and are neither its owner, above policies, nor the console's.
    """
    cautions = [
        (
            f"Sessions that connect as the owner of the tables ({quoted(owner)}) or as a superuser "
            "see deleted rows: policies do not bind them. Let them read the active views."
        )
    ]
    if asked is not None:
        return _named(table, asked, cautions, using)
    roles: list[str] = []
    for row in rows("softdelete_roles", {"oid": table.oid}, using=using):
        if row["name"] == "public":
            cautions.append(
                f"Everybody (PUBLIC) has privileges on {table.name}: name the application's roles "
                "with --hide-from, or the policies bind only those that were granted some by name."
            )
        elif not (row["above"] or row["owns"] or row["console"]):
            roles.append(row["name"])
    return HiddenFrom(tuple(roles), (), tuple(cautions))


def _named(table: Table, asked: Sequence[str], cautions: list[str], using: str) -> HiddenFrom:
    with connections[using].cursor() as cursor:
        cursor.execute(_NAMED, {"oid": table.oid, "names": list(asked)})
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    obstacles = [
        f"There is no role {quoted(name)} to hide deleted rows from."
        for name in asked
        if name not in found
    ]
    for name, (above, owns, console) in found.items():
        if above or owns:
            what = "is a superuser or has BYPASSRLS" if above else f"owns {table.name}"
            cautions.append(f"{quoted(name)} {what}: policies do not bind it.")
        elif console:
            obstacles.append(
                f"{quoted(name)} is the console's own role, which has to see deleted rows: leave "
                "it out of --hide-from."
            )
    return HiddenFrom(tuple(sorted(found)), tuple(obstacles), tuple(cautions))


def nobody_caution(tables: Sequence[TableName]) -> str:
    """Of tables on which no policy would bind anybody."""
    return (
        f"No role but such has privileges on {', '.join(map(str, tables))}: the policies will bind "
        "nobody. If the application connects as the owner or a superuser, give it a role of its "
        "own, grant that what it needs, and run this again."
    )
