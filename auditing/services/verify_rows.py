"""A stretch of a sealed table against its leaves: what was altered, is missing, or was added.

Every row of the stretch fits one leaf, and every leaf of it one row; or a proved removal took the
row away, or it is not sealed yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections, transaction
from psycopg import sql

from auditing.models import TrackedTable
from auditing.seals.found import Finding, Found
from auditing.seals.leaves import NULL, leaf, tag, unescape
from auditing.selectors.covered import covered_now
from auditing.selectors.history_apart import history_apart
from auditing.selectors.sealed_rows import ROWS, VERSION_META, lines, record_text
from auditing.selectors.verify_sections import Leaves, leaves_between
from auditing.services.verify_proof import Removals
from operations.catalogue.types import TableName

LOOKS = 3
"""That a finding has to be in: in between a purge, a redaction or the sealer may be at it."""
_OPS = {"image": "h.op = 'B'", "carried": "h.op = 'C'", "version": "h.op NOT IN ('B', 'C')"}
Place = tuple[Leaves, int]


@dataclass(frozen=True)
class Stretch:
    """Of one source, by the numbers of its rows: after, up to and with. None is open."""

    source: str
    form: str
    after: int | None
    upto: int | None
    tracked: int | None = None

    @property
    def key(self) -> str:
        """The column that a row is called by."""
        if self.form == "row":
            return next(each.key for each in ROWS if each.source == self.source)
        return "seq"

    @property
    def cut(self) -> str:
        """The column that the stretch is of."""
        return "statement" if self.form == "image" else self.key

    @property
    def where(self) -> sql.Composable:
        parts: list[sql.Composable] = [sql.SQL(_OPS.get(self.form, "true"))]
        for number, sign in ((self.after, ">"), (self.upto, "<=")):
            if number is not None:
                parts.append(
                    sql.SQL("h.{} {} {}").format(
                        sql.Identifier(self.cut), sql.SQL(sign), sql.Literal(number)
                    )
                )
        return sql.SQL(" AND ").join(parts)


def stretch_verify(stretch: Stretch, *, using: str) -> Found:
    """Compares; whatever is wrong is wrong in several looks."""
    found = _Look(stretch, using).found()
    for _ in range(LOOKS - 1):
        if not found.findings:
            break
        once_more = _Look(stretch, using).found()
        both = tuple(each for each in once_more.findings if each in set(found.findings))
        found = Found(
            once_more.checked, both, once_more.pending, once_more.retired, once_more.unproved
        )
    return found


class _Look:
    def __init__(self, stretch: Stretch, using: str) -> None:
        self.stretch, self.using = stretch, using
        self.tracked = (
            TrackedTable.objects.get(pk=stretch.tracked) if stretch.tracked is not None else None
        )
        # In this order: what is sealed or removed in between is known to whoever asks later.
        self.covered = covered_now(using=using)
        self.sections = leaves_between(
            stretch.source, stretch.form, stretch.after, stretch.upto, using=using
        )
        self.places = _places(stretch, self.sections)
        self.findings: list[Finding] = []
        self.altered: set[tuple[int, int]] = set()
        """Leaves whose row was found, with another content."""
        self.checked = self.pending = 0

    def found(self) -> Found:
        schema, _, name = self.stretch.source.partition(".")
        tables = [TableName(schema, name)]
        if self.tracked is not None:
            tables += history_apart(self.tracked)
        there = self._columns(tables[0])
        gone = [column for column in self._meta() if column not in there]
        if gone and self.sections:
            told = f"has no column {gone[0]} any more" if there else "is not there any more"
            self._find("missing", f"{self.stretch.source} {told}: what was sealed of it is gone.")
            return self._result(retired=0, unproved=0)
        if there:
            with transaction.atomic(using=self.using):
                for table in tables:
                    self._compare(table, there)
        return self._result(*self._unmatched())

    def _meta(self) -> list[str]:
        own = (list(each.meta) for each in ROWS if each.source == self.stretch.source)
        return next(own, list(VERSION_META))

    def _columns(self, table: TableName) -> set[str]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "SELECT a.attname FROM pg_catalog.pg_attribute AS a"
                " WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped",
                [str(table)],
            )
            return {column for (column,) in cursor.fetchall()}

    def _compare(self, table: TableName, there: set[str]) -> None:
        """Each row of one table with the leaves of its number."""
        stretch, places = self.stretch, self.places
        named = {column for each in self.sections for column in each.section.names}
        values = {column for column in there if column[0].isdigit()} if self.tracked else set()
        meta = self._meta()
        columns = [*meta, *sorted((named & there) | values, key=str.encode)]
        tagged = stretch.form == "image" and self.tracked is not None
        first = 1 if tagged else 0
        at = {column: place + first for place, column in enumerate(columns)}
        for section in self.sections:
            section.read(at, values)
        strange: list[tuple[list[bytes], int, str]] = []
        key, xid, cut = at[stretch.key], at["xid"], slice(first, first + len(meta))
        for fields in lines(
            table.sql,
            control=[record_text(self.tracked)] if tagged and self.tracked else [],
            fields=columns,
            where=stretch.where,
            tail=sql.SQL(""),
            using=self.using,
        ):
            self.checked += 1
            mark = tag(unescape(fields[0])) if tagged else int(fields[key])
            candidates = places.get(mark)
            if candidates is None:
                if self.covered.sees(int(fields[xid])):
                    strange.append((fields, mark, ""))
                else:
                    self.pending += 1
                continue
            leaves = _fit(candidates, fields, fields[cut], int(fields[key]))
            if leaves is None:
                strange.append((fields, mark, ""))
            elif leaves.others:
                strange += [
                    (fields, mark, column) for column in leaves.others if fields[at[column]] != NULL
                ]
        for fields, mark, column in strange:
            self._strange(table, fields, mark, int(fields[key]), column)

    def _strange(
        self, table: TableName, fields: list[bytes], mark: int, number: int, column: str
    ) -> None:
        """A row that fits no leaf: altered where a leaf of its number has no row, else added."""
        record = self._record(table, fields, number)
        name = self._name(number, record)
        if column:
            self._find(
                "altered",
                f"{name} has a value in {column}, where there was none when it was sealed.",
                record,
                number,
            )
            return
        for leaves, place in self.places.get(mark, []):
            if not leaves.matched[place] and (id(leaves), place) not in self.altered:
                self.altered.add((id(leaves), place))
                self._find(
                    "altered",
                    f"{name} is not what was sealed in block {leaves.section.block_id}.",
                    record,
                    number,
                    leaves.section.block_id,
                )
                return
        self._find("added", f"{name} was added: no block has it.", record, number)

    def _record(self, table: TableName, fields: list[bytes], number: int) -> str:
        if self.tracked is None:
            return str(number)
        if self.stretch.form == "image":
            return unescape(fields[0]).decode(errors="replace")
        for found in lines(
            table.sql,
            control=[record_text(self.tracked)],
            fields=[],
            where=sql.SQL("h.seq = {}").format(sql.Literal(number)),
            tail=sql.SQL("LIMIT 1"),
            using=self.using,
        ):
            return unescape(found[0]).decode(errors="replace")
        return ""

    def _name(self, number: int | None, record: str) -> str:
        if self.tracked is None:
            return f"Row {number} of {self.stretch.source}"
        what = {"image": "The baseline's image", "carried": "The image carried forward"}.get(
            self.stretch.form, f"Version {number}"
        )
        return f"{what} of {self.tracked}" + (f" {record}" if record else "")

    def _unmatched(self) -> tuple[int, int]:
        """Leaves without a row: retired with proof, by a run that is going on, or missing."""
        retired = unproved = 0
        removals: Removals | None = None
        for leaves in self.sections:
            if leaves.matched.count(0) == 0:
                continue
            section = leaves.section
            marks = _marks(self.stretch, leaves)
            for place, mark in enumerate(marks):
                if leaves.matched[place] or (id(leaves), place) in self.altered:
                    continue
                number = section.ids[place]
                if not self._inside(number, section.form):
                    continue
                excuse = ""
                if self.tracked is not None:
                    removals = removals or Removals.of(self.tracked.pk, using=self.using)
                    tagged = section.tags[place] if section.tags else None
                    excuse = removals.excuse(section, number, tagged)
                if excuse == "proved":
                    retired += 1
                elif excuse == "open":
                    unproved += 1
                else:
                    self._missing(section.block_id, number, mark, excuse)
        return retired, unproved

    def _inside(self, number: int, form: str) -> bool:
        """A section may reach into the next stretch, which looks at its leaves there."""
        if form == "image":
            return True
        after, upto = self.stretch.after, self.stretch.upto
        return (after is None or number > after) and (upto is None or number <= upto)

    def _missing(self, block: int, number: int, mark: int, excuse: str) -> None:
        name = self._name(number, "")
        if self.stretch.form == "image":
            name += f" (tag {mark})"
        self._find(
            "missing" if not excuse else "proof",
            f"{name}, sealed in block {block}, is missing"
            + (f": {excuse}" if excuse else ", and nothing of ours removed it."),
            "",
            number,
            block,
        )

    def _find(
        self,
        kind: str,
        text: str,
        record: str = "",
        number: int | None = None,
        block: int | None = None,
    ) -> None:
        self.findings.append(
            Finding(kind, text, self.stretch.tracked, self.stretch.source, record, number, block)  # type: ignore[arg-type]
        )

    def _result(self, retired: int, unproved: int) -> Found:
        return Found(self.checked, tuple(self.findings), self.pending, retired, unproved)


def _fit(
    candidates: list[Place], fields: list[bytes], meta: list[bytes], number: int
) -> Leaves | None:
    """The section of the leaf that the row makes, which is taken by it; None: it makes none."""
    for leaves, place in candidates:
        if leaves.matched[place] or leaves.section.ids[place] != number:
            continue
        made = leaf(
            b"\t".join(meta),
            fields[leaves.values]
            if leaves.values
            else [NULL if i is None else fields[i] for i in leaves.places],
            leaves.named,
            leaves.salts,
            place * leaves.width,
            leaves.kept.get(place),
        )
        if made == leaves.hashes[place]:
            leaves.matched[place] = 1
            return leaves
    return None


def _places(stretch: Stretch, sections: list[Leaves]) -> dict[int, list[Place]]:
    """The leaves by what their rows are known by: mostly one each."""
    found: dict[int, list[Place]] = {}
    for leaves in sections:
        for place, mark in enumerate(_marks(stretch, leaves)):
            if mark in found:
                found[mark].append((leaves, place))
            else:
                found[mark] = [(leaves, place)]
    return found


def _marks(stretch: Stretch, leaves: Leaves) -> list[int]:
    """What the row of each leaf is known by: its number, of images the record's tag."""
    section = leaves.section
    marks = section.tags if stretch.form == "image" and section.tags else section.ids
    return list(marks[: min(len(leaves.matched), len(section.ids))])
