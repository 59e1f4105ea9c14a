"""Who holds rows of a table, each case by itself."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from operations import vetoes
from operations.catalogue.types import Table
from retention.selectors.hold_scopes import scopes_of
from retention.selectors.holds import VETO


@dataclass(frozen=True)
class Case:
    """Who holds rows, and which."""

    by: str
    rows: sql.Composable | None
    """As in Protection: a condition on alias `t`; None is the whole table."""

    @property
    def whole(self) -> bool:
        return self.rows is None

    @property
    def held(self) -> sql.Composable:
        """Never NULL: where it is not known whether a row is held, it is."""
        if self.rows is None:
            return sql.SQL("true")
        return sql.SQL("(({}) IS NOT FALSE)").format(self.rows)


def cases_of(table: Table, *, using: str) -> tuple[Case, ...]:
    """One for each name; what several protections of a name hold is joined.

    Legal holds are asked scope by scope: their veto joins what names single rows, whose case it is.
    """
    by_name: dict[str, list[sql.Composable | None]] = {}
    for scope in scopes_of(table, using=using):
        by_name.setdefault(scope.by, []).append(scope.rows)
    for other in vetoes.protections(table, using=using, besides=VETO):
        by_name.setdefault(other.by, []).append(other.rows)
    return tuple(Case(name, _any(found)) for name, found in by_name.items())


def _any(found: list[sql.Composable | None]) -> sql.Composable | None:
    conditions = [each for each in found if each is not None]
    if len(conditions) < len(found):
        return None
    return sql.SQL(" OR ").join(sql.SQL("(({}) IS NOT FALSE)").format(each) for each in conditions)
