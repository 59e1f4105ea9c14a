"""Redactions as two people make them, the log verified leaf by leaf, and a value looked for
everywhere a database has text."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from psycopg import sql

from auditing.models import RedactedValue, SealBlock, SealSection, TrackedTable
from auditing.seals import merkle
from auditing.seals.headers import header_read
from auditing.seals.leaves import NULL, leaf, prefixes, salts_of, tag, unescape
from auditing.selectors.sealed_rows import ROWS, VERSION_META, lines, record_text, version_names
from auditing.services.audit_redact import audit_redact
from auditing.services.redact_plan import Wanted
from operations.models import Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve
from tests.approving import second_person

SECRET = "s3cret-Value-7"


def asked(requester: User, table: str, *columns: str, **wanted: Any) -> Run:
    """A redaction that waits for approval."""
    run = audit_redact(
        wanted=Wanted(table, columns, **wanted), requester=requester, reason="Art. 17"
    )
    assert run is not None
    assert run.state == "awaiting_approval"
    return run


def redacted(requester: User, table: str, *columns: str, **wanted: Any) -> Run:
    """One that another person has approved and that came to its end."""
    run = asked(requester, table, *columns, **wanted)
    run_approve(run_id=run.pk, approver=second_person())
    run = run_execute(run_id=run.pk)
    assert run.state == "succeeded", run.error
    return run


def broken() -> list[str]:
    """Leaves, and roots of blocks, that are not what was sealed; recomputed from what is there."""
    wrong = []
    with transaction.atomic():
        for tracked in TrackedTable.objects.all():
            wrong += _versions(tracked)
        for source in ROWS:
            rows = {
                int(fields[0]): fields
                for fields in lines(
                    sql.Identifier("custody", source.table),
                    control=[],
                    fields=[*source.meta, *source.names],
                    where=sql.SQL("true"),
                    tail=sql.SQL(""),
                    using="default",
                )
            }
            for section in SealSection.objects.filter(source=source.source):
                meta, sealed = len(source.meta), Sealed(section)
                for place, number in enumerate(section.ids):
                    fields = rows[number]
                    values = dict(zip(source.names, fields[meta:], strict=True))
                    if not sealed.fits(place, b"\t".join(fields[:meta]), values):
                        wrong.append(f"{source.source} {number}")
    for block in SealBlock.objects.all():
        leaves = [each for s in block.sections.all() for each in merkle.split(s.hashes)]
        if merkle.root(leaves).hex() != header_read(block.header).root:
            wrong.append(str(block))
    return wrong


def _versions(tracked: TrackedTable) -> list[str]:
    names = version_names(tracked, using="default")
    found = defaultdict(list)
    for fields in lines(
        tracked.history.sql,
        control=[sql.SQL("h.op"), record_text(tracked)],
        fields=[*VERSION_META, *names],
        where=sql.SQL("true"),
        tail=sql.SQL(""),
        using="default",
    ):
        meta = fields[2 : 2 + len(VERSION_META)]
        values = dict(zip(names, fields[2 + len(VERSION_META) :], strict=True))
        found[int(meta[0])].append((tag(unescape(fields[1])), b"\t".join(meta), values))
    wrong = []
    for section in SealSection.objects.filter(source=str(tracked.history)):
        sealed = Sealed(section)
        for place, number in enumerate(section.ids):
            fit = any(
                sealed.fits(place, meta, values)
                for tag_, meta, values in found[number]
                if not section.tags or section.tags[place] == tag_
            )
            if not fit:
                wrong.append(f"{tracked} {number}")
    return wrong


class Sealed:
    """A section, with all that its leaves are computed from."""

    def __init__(self, section: SealSection) -> None:
        self.section = section
        self._named = prefixes(section.names)
        self._salts = (
            bytes(section.salts or b"")
            if section.secret is None
            else salts_of(bytes(section.secret), len(section.ids), len(section.names))
        )
        self._kept: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        for each in RedactedValue.objects.filter(section=section):
            kept = bytes(each.commitment or each.salt or b"")
            self._kept[each.place][prefixes([each.name])[0]] = kept

    def fits(self, place: int, meta: bytes, values: dict[str, bytes]) -> bool:
        made = leaf(
            meta,
            [values.get(name, NULL) for name in self.section.names],
            self._named,
            self._salts,
            place * len(self._named) * 16,
            self._kept.get(place),
        )
        return made == bytes(self.section.hashes)[place * 32 : (place + 1) * 32]


def found_in(value: str) -> set[str]:
    """Every relation of every schema, the catalogue's too, with a row that says the value."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm') AND has_table_privilege(c.oid, 'SELECT')"
            # What the planner knows of columns has a type that prints nothing.
            " AND c.oid <> 'pg_catalog.pg_statistic'::regclass"
        )
        names = [*cursor.fetchall(), ("pg_catalog", "pg_stats")]
        found = set()
        for schema, name in names:
            cursor.execute(
                sql.SQL("SELECT EXISTS (SELECT FROM {} t WHERE t::text LIKE {})").format(
                    sql.Identifier(schema, name), sql.Literal(f"%{value}%")
                )
            )
            if cursor.fetchone()[0]:
                found.add(f"{schema}.{name}")
    return found
