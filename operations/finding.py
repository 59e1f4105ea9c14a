"""Where a record may be: the sources that are asked when somebody looks for one.

A source is registered by the app that knows of it, so the ground needs to know nothing of bins,
histories and archives. Each is asked for a share of a deadline, first for what its indexes tell at
once, then for what has to be looked through, and says what it did not get to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any

import psycopg
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections, transaction
from psycopg import sql

from operations.asked import Asked
from operations.catalogue.types import Table, TableName

Person = User | AnonymousUser
LEAST = 0.03
"""Seconds in which nothing is begun any more."""
_SCANS = "SELECT pg_catalog.set_config('enable_seqscan', %s, true)"
_TIMEOUT = "SELECT pg_catalog.set_config('statement_timeout', %s, true)"


class Fit(IntEnum):
    """How well a record answers, the best first."""

    KEY = 0
    EXACT = 1
    """A telling column has just this value."""
    WORD = 2
    """What was typed stands in it as a word, or as words in any order."""
    BEGINS = 3
    """A word of it begins so."""
    INSIDE = 4
    """It is a part of a word."""
    REFERS = 5
    """Another column has this value: a reference, an amount, a day."""
    DEEP = 6
    """It stands somewhere in a long text or a document."""


class Stage(IntEnum):
    """What a source is asked, in this order."""

    EXACT = 0
    """What an index answers, whatever the size."""
    TELLING = 1
    """The columns by which people know a row, looked through."""
    DEEP = 2
    """All other texts, documents too."""


@dataclass(frozen=True)
class Standing:
    """Where a record stands at best: answers are parted by it, and each part has its share."""

    kind: str
    """Of its places, and the word for it: `bin`."""
    order: int
    """Of its places: of all that a record has, the lowest says where it stands."""
    title: str
    """As a heading: `In the bin`."""
    told: str
    """After a number of records: `15 in the bin`."""
    short: str
    """On a button that shows these only."""
    settles: bool = False
    """Its source knows of every record whether it stands there, however it was found."""


@dataclass(frozen=True)
class Place:
    """One place where a record is, and how it comes back from there."""

    kind: str
    """`live`, `bin`, `history`, `archive`, or another source's."""
    order: int
    """Among the places of one record: lower is better."""
    what: str
    """In words: `in the bin, deletion 12`."""
    at: datetime | None = None
    by: str = ""
    """The actor: `console:maria`."""
    why: str = ""
    command: str = ""
    """Of manage.py: brings the record back, or shows it where it is live."""
    button: str = ""
    address: tuple[str, tuple[Any, ...], str] = ("", (), "")
    """The admin's page: name of its address, arguments, and what follows it."""
    posts: tuple[tuple[str, str], ...] = ()
    """What is posted there; empty: it is a link."""
    needs: str = ""
    """The permission for that page; empty: whoever sees the place."""
    facts: dict[str, Any] = field(default_factory=dict)
    """For `--json`: version, deletion, archive ..."""


@dataclass
class Hit:
    """A record, with all places where it is."""

    table: TableName
    record_id: str
    values: tuple[tuple[str, str], ...]
    """By which people know it: column and text."""
    fit: Fit
    by: tuple[str, ...]
    """The columns that matched."""
    places: list[Place] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """The holds that protect it: `hold 2031-17`."""
    keyed: bool = True
    """The table has a key, so that the row can be named."""

    @property
    def label(self) -> str:
        return ", ".join(text for _, text in self.values[:3]) or self.record_id

    @property
    def best(self) -> Place:
        return min(self.places, key=lambda place: place.order)


@dataclass(frozen=True)
class NotLooked:
    """Something that was not looked at, or not to its end."""

    what: str
    why: str


@dataclass
class Search:
    """One search: what is asked, by whom, until when. It never writes."""

    asked: Asked
    limit: int
    """Hits of one table that a source tells at most; one more says that there are more."""
    user: Person | None = None
    """Who is shown the answer in the admin; None: whoever has a shell."""
    only: Collection[TableName] = ()
    """These tables only; empty: all."""
    standing: str = ""
    """Records that stand there only; empty: wherever."""
    using: str = "default"
    until: float = 0.0
    """Of the share under way: time.monotonic()."""
    missed: list[NotLooked] = field(default_factory=list)
    more: set[tuple[str, TableName]] = field(default_factory=set)
    """Standing and table of which there are more hits than were told."""
    masked: dict[TableName, frozenset[str]] = field(default_factory=dict)
    """Columns that `user` neither sees nor searches."""
    tables: dict[TableName, Table] = field(default_factory=dict)
    """Those that were read from the catalogue for this search."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What a source found out in one stage and needs in the next, by its name."""

    @property
    def left(self) -> float:
        return self.until - time.monotonic()

    def wants(self, name: TableName) -> bool:
        return not self.only or name in self.only

    def miss(self, what: str, why: str = "there was no time") -> None:
        self.missed.append(NotLooked(what, why))

    def exceeds(self, standing: str, table: TableName) -> None:
        """There are more such records of the table than `limit`."""
        if self.standing in ("", standing):
            self.more.add((standing, table))

    def open_columns(self, table: Table) -> Table:
        """The table without the columns that are masked for this person; its key it keeps."""
        masked = self.masked.get(table.name)
        if not masked:
            return table
        key = table.key.columns if table.key else ()
        kept = tuple(each for each in table.columns if each.name not in masked or each.name in key)
        return replace(table, columns=kept)

    def rows(
        self, what: str, query: sql.Composed, values: dict[str, Any], *, scans: bool = True
    ) -> list[tuple[Any, ...]]:
        """The query's rows; none, and `what` is noted, when it takes too long or is refused.

        The values are bound by the server: they stand in no statement, and so in no log of slow or
        of cancelled ones.

        Args:
            scans: without it an index is used wherever there is one, whatever statistics say.
        """
        if self.left < LEAST:
            self.miss(what)
            return []
        connection = connections[self.using]
        connection.ensure_connection()
        nested = connection.in_atomic_block
        try:
            with (
                transaction.atomic(using=self.using),
                connection.wrap_database_errors,
                psycopg.Cursor(connection.connection) as cursor,
            ):
                before = self._before(cursor, nested=nested)
                cursor.execute(_TIMEOUT, [f"{max(int(self.left * 1_000), 1)}ms"])
                if not scans:
                    cursor.execute(_SCANS, ["off"])
                cursor.execute(query, values)
                found = cursor.fetchall()
                if nested:
                    cursor.execute(_SCANS, ["on"])
                    # Somebody else's transaction goes on.
                    cursor.execute(_TIMEOUT, [before])
            return found
        except Exception as error:
            cause = error.__cause__
            if isinstance(cause, psycopg.errors.QueryCanceled):
                self.miss(what)
            elif isinstance(cause, psycopg.errors.InsufficientPrivilege):
                self.miss(what, "the console's role may not read it")
            elif isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                self.miss(what, "it was changed meanwhile")
            else:
                raise
            return []

    @staticmethod
    def _before(cursor: psycopg.Cursor[Any], *, nested: bool) -> str:
        if not nested:
            return ""
        cursor.execute("SELECT pg_catalog.current_setting('statement_timeout')")
        found = cursor.fetchone()
        return str(found[0]) if found else "0"


class Source:
    """A place where records are. Subclasses say what they know; by themselves they know nothing."""

    name: str = ""
    """In words, for what was not looked at: `history`."""
    standing: Standing | None = None
    """Where the records stand that it tells of; None: it finds none."""
    weights: dict[Stage, float] = {Stage.EXACT: 1.0}  # noqa: RUF012
    """The stages in which it has something to do, and its part of the time of each; those with the
    largest part are asked first."""

    def tables(self, *, using: str) -> set[TableName]:
        """Governed tables: they are looked at first."""
        return set()

    def shows(self, user: Person, *, using: str) -> Callable[[TableName], bool]:
        """Whether the console's pages show this person the rows of a table."""
        return lambda _: False

    def open_to(self, user: Person) -> bool:
        """Whether this person is ever told what stands there."""
        return True

    def masked(self, *, using: str) -> Mapping[TableName, frozenset[str]]:
        """Columns of which nobody but a superuser is to see values, wherever they stand."""
        return {}

    def apart(self, table: Table, *, using: str) -> sql.Composable | None:
        """Of rows `t` that are in the table and told by this source alone; never NULL."""
        return None

    def find(self, search: Search, stage: Stage) -> Iterator[Hit]:
        """Hits, until `search.left` is used up; what is not looked at goes to `search.miss`."""
        return iter(())

    def shown(self, hits: Sequence[Hit], user: User) -> None:
        """The page shows them to this person: a source that keeps account of it does so here."""

    def stands(self, hits: Sequence[Hit], search: Search) -> None:
        """Adds its place to those hits of others that stand there too, all in a few statements:
        before it is chosen which are told. Of a source whose standing settles."""

    def about(self, hits: Sequence[Hit], search: Search) -> None:
        """Adds to hits of any source, chosen by now, what this one knows of the same records."""


_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """Makes a source known; the same name again replaces it."""
    _sources[name] = source


def unregister(name: str) -> None:
    _sources.pop(name, None)


def sources() -> list[Source]:
    """In the order of their registration."""
    return list(_sources.values())


def standings(user: Person | None = None) -> list[Standing]:
    """Those that this person is told of, the best first; without one all."""
    found = [
        each.standing
        for each in sources()
        if each.standing is not None and (user is None or each.open_to(user))
    ]
    return sorted(found, key=lambda each: each.order)
