"""Leaves for the next block: rows are read from the front of the plan, and hashed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone
from psycopg import sql

from auditing.models import Removal, SealSection, TrackedTable
from auditing.seals.headers import Form
from auditing.seals.leaves import SALT, SECRET, leaf, prefixes, salts_of, tag, unescape
from auditing.selectors.images import history_exists
from auditing.selectors.sealed_rows import ROWS, VERSION_META, lines, record_text, version_names
from auditing.services.seal_plan import CLOCKS, Between, Piece
from operations.catalogue.identifiers import Identifier

MOST = 16_384
"""Leaves of a block, unless one number or one statement has more."""
SPAN = 64 * MOST
"""Numbers that one look at a history covers at the most. It begins with as many as a block may have
and covers more where few are of this table: what it reads and does not take, it reads again."""

_SEQ, _STATEMENT, _AT = (VERSION_META.index(name) for name in ("seq", "statement", "at"))
# Known by its place here, its name is of no use after a restore.
_PARTITION = sql.SQL("h.tableoid::pg_catalog.oid")


@dataclass
class Draft:
    """A section without its place in a block."""

    section: SealSection
    leaves: list[bytes]


@dataclass
class _Group:
    """Rows of one partition."""

    metas: list[bytes] = field(default_factory=list)
    values: list[list[bytes]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    tags: list[int] = field(default_factory=list)


def seal_sections(
    piece: Piece, window: Between, *, room: int, using: str
) -> tuple[list[Draft], Piece | None]:
    """The next sections of a piece, and what is left of it.

    Args:
        room: about so many leaves at most.
    """
    form: Form = piece["form"]
    if form == "row":
        return _rows(piece, window, room=room, using=using)
    if form == "carried":
        removal = Removal.objects.using(using).select_related("tracked").get(pk=piece["removal"])
        if not history_exists(removal.tracked):
            return [], None
        return _drafts(removal.tracked, form, _carried(removal), sql.SQL(""), using), None
    tracked = TrackedTable.objects.using(using).get(pk=piece["tracked"])
    if not history_exists(tracked):
        return [], None
    number = "seq" if form == "version" else "statement"
    span = piece.get("span", MOST)
    upto = min(piece["upto"], piece["after"] + span) if form == "version" else piece["upto"]
    where = _of_piece(piece, number, upto, window)
    # With ties: rows of one number stay in one block.
    tail = sql.SQL("ORDER BY h.{} FETCH FIRST {} ROWS WITH TIES").format(
        sql.Identifier(number), sql.Literal(room)
    )
    drafts = _drafts(tracked, form, where, tail, using)
    found = sum(len(draft.leaves) for draft in drafts)
    if found >= room:
        last = "last" if form == "version" else "last_statement"
        upto = max(getattr(draft.section, last) for draft in drafts)
    if upto >= piece["upto"]:
        return drafts, None
    wider = min(4 * span, SPAN) if found < MOST // 4 else MOST
    return drafts, {**piece, "after": upto, "span": wider}


def _of_piece(piece: Piece, number: str, upto: int, window: Between) -> sql.Composable:
    ops = sql.SQL("h.op = 'B'" if piece["form"] == "image" else "h.op NOT IN ('B', 'C')")
    return sql.SQL(
        "h.{number} > {after} AND h.{number} <= {upto} AND {ops} AND {new}"
        # By the times other partitions are left out before they are even opened.
        " AND h.at >= {since}::timestamptz AND h.at <= {until}::timestamptz"
    ).format(
        number=sql.Identifier(number),
        after=sql.Literal(piece["after"]),
        upto=sql.Literal(upto),
        ops=ops,
        new=window.new(Identifier("h", "xid")),
        since=sql.Literal(piece["since"]),
        until=sql.Literal((timezone.now() + CLOCKS).isoformat()),
    )


def _carried(removal: Removal) -> sql.Composable:
    """The images that one step carried forward.

    By their numbers, which several records may have, and their tags, of which another step may have
    carried other versions there.
    """
    numbers = [n for first, last in removal.numbers for n in range(first, last + 1)]
    return sql.SQL(
        "h.op = 'C' AND h.at = {until}::timestamptz AND h.seq = ANY ({numbers}::bigint[])"
        " AND custody.audit_tag({record}) = ANY ({tags}::bigint[])"
    ).format(
        until=sql.Literal(removal.until.isoformat() if removal.until else None),
        numbers=sql.Literal(numbers),
        record=record_text(removal.tracked),
        tags=sql.Literal(removal.images),
    )


def _drafts(
    tracked: TrackedTable, form: Form, where: sql.Composable, tail: sql.Composable, using: str
) -> list[Draft]:
    names = version_names(tracked, using=using)
    control = [_PARTITION] if form == "version" else [_PARTITION, record_text(tracked)]
    groups: dict[bytes, _Group] = {}
    meta = len(control) + len(VERSION_META)
    for fields in lines(
        tracked.history.sql,
        control=control,
        fields=[*VERSION_META, *names],
        where=where,
        tail=tail,
        using=using,
    ):
        group = groups.setdefault(fields[0], _Group())
        group.metas.append(b"\t".join(fields[len(control) : meta]))
        group.values.append(fields[meta:])
        group.ids.append(int(fields[len(control) + _SEQ]))
        if form != "version":
            group.tags.append(tag(unescape(fields[1])))
    return [
        draft
        for group in groups.values()
        for draft in _cut(group, str(tracked.history), form, tracked, VERSION_META, names)
    ]


def _rows(
    piece: Piece, window: Between, *, room: int, using: str
) -> tuple[list[Draft], Piece | None]:
    source = next(each for each in ROWS if each.table == piece["source"])
    group = _Group()
    # Apart from the order: or all rows since the beginning would be read in it. In the first pass
    # they are.
    table = sql.SQL("(SELECT * FROM {} AS h WHERE {} {})").format(
        Identifier("custody", source.table),
        window.new(Identifier("h", "xid")),
        sql.SQL("OFFSET 0" if window.last_xmax else ""),
    )
    for fields in lines(
        table,
        control=[],
        fields=[*source.meta, *source.names],
        where=sql.SQL("h.{} > {}").format(sql.Identifier(source.key), sql.Literal(piece["after"])),
        tail=sql.SQL("ORDER BY h.{} LIMIT {}").format(
            sql.Identifier(source.key), sql.Literal(room)
        ),
        using=using,
    ):
        group.metas.append(b"\t".join(fields[: len(source.meta)]))
        group.values.append(fields[len(source.meta) :])
        group.ids.append(int(fields[0]))
    drafts = list(_cut(group, source.source, "row", None, source.meta, source.names))
    more = len(group.ids) >= room
    return drafts, {**piece, "after": group.ids[-1]} if more else None


def _cut(  # noqa: PLR0917
    group: _Group,
    source: str,
    form: Form,
    tracked: TrackedTable | None,
    meta: Sequence[str],
    names: Sequence[str],
) -> Iterator[Draft]:
    """Sections of MOST leaves at most, each with a secret of its own."""
    named = prefixes(names)
    for start in range(0, len(group.ids), MOST):
        part = slice(start, start + MOST)
        ids, metas = group.ids[part], group.metas[part]
        secret = secrets.token_bytes(SECRET)
        salts = salts_of(secret, len(ids), len(names))
        width = len(names) * SALT
        leaves = [
            leaf(m, values, named, salts, place * width)
            for place, (m, values) in enumerate(zip(metas, group.values[part], strict=True))
        ]
        section = SealSection(
            source=source,
            form=form,
            tracked=tracked,
            first=min(ids),
            last=max(ids),
            meta=list(meta),
            names=list(names),
            ids=ids,
            tags=group.tags[part] or None,
            hashes=b"".join(leaves),
            secret=secret,
        )
        if tracked is not None:
            _bounds(section, metas)
        yield Draft(section, leaves)


def _bounds(section: SealSection, metas: list[bytes]) -> None:
    said = [fields.split(b"\t", _AT + 1) for fields in metas]
    statements = [int(fields[_STATEMENT]) for fields in said]
    times = [fields[_AT] for fields in said]
    section.first_statement, section.last_statement = min(statements), max(statements)
    # Texts of times in UTC stand in the order of the times.
    section.first_at = datetime.fromisoformat(min(times).decode())
    section.last_at = datetime.fromisoformat(max(times).decode())
