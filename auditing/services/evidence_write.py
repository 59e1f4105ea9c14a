"""Evidence: one zip that an examiner verifies without us, `custody-evidence/1`.

Members, in their order: README.txt, verify_evidence.py, headers.jsonl (all blocks from the first,
as they were signed), anchors.jsonl, rows/SOURCE.jsonl with summary/TABLE.csv, certificates/,
keys.json, summary.html, manifest.json (what was asked, the members' SHA-256, signed).

Invariants:
- Memory is bounded, whatever is asked: 24 bytes a version, and one block.
- Of rows that were not asked for nothing is in it but hashes.
- What is exported is what the database has. A row that is not what was sealed is exported as it is
  found: the verifier names it.
"""

from __future__ import annotations

import json
import secrets
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from psycopg import sql

from auditing.exceptions import NoSuchVersion, NothingSealed
from auditing.models import ChangeContext, SealBlock, SealPosition, SealSection, TrackedTable
from auditing.selectors.evidence_concerned import (
    certificates_of,
    events_of,
    numbers_of,
    redactions_of,
    removals_of,
)
from auditing.selectors.evidence_sections import (
    Bounds,
    SealedRow,
    among,
    rows_in,
    sections,
    versions_in,
)
from auditing.selectors.images import history_exists, shape_of
from auditing.selectors.keys import key_is, key_values
from auditing.selectors.sealed_rows import VERSION_META
from auditing.services.anchors import anchors, anchors_stored
from auditing.services.evidence_rows import Blocks, Numbers, Written, numbered, rows_write
from auditing.services.evidence_summary import Summary, moment, page
from auditing.services.evidence_zip import EvidenceZip
from operations import keys
from operations.certificates.canonical import canonical
from operations.models import SigningKey
from operations.runs.kinds import Beat
from operations.storage import storage
from operations.storage.protocol import Draft

FORMAT = "custody-evidence/1"
VERIFIER = Path(__file__).parents[1] / "evidence" / "verify_evidence.py"
README = Path(__file__).parents[1] / "evidence" / "README.txt"
_XID, _STATEMENT, _CONTEXT = (VERSION_META.index(n) for n in ("xid", "statement", "context"))


@dataclass(frozen=True)
class Chosen:
    """Which versions: those with `since` <= at < `until`, of some tables, of one record."""

    tables: tuple[TrackedTable, ...]
    since: datetime | None = None
    until: datetime | None = None
    record: str | None = None

    def where(self, tracked: TrackedTable) -> sql.Composable:
        """Of the history row `h`."""
        found: list[sql.Composable] = [sql.SQL("true")]
        if self.since is not None:
            found.append(sql.SQL("h.at >= {}").format(sql.Literal(self.since)))
        if self.until is not None:
            found.append(sql.SQL("h.at < {}").format(sql.Literal(self.until)))
        if self.record is not None:
            shape = shape_of(tracked)
            try:
                found.append(key_is(shape, key_values(shape, self.record)))
            except NoSuchVersion:
                # An earlier audit of the table, when its key had other columns.
                found.append(sql.SQL("false"))
        return sql.SQL(" AND ").join(found)


@dataclass
class Exported:
    """What an export came to."""

    versions: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Rows of each source."""
    complete: list[tuple[str, int, int]] = field(default_factory=list)
    """Source, first and last block: no version of the source that these blocks seal is missing."""
    altered: list[str] = field(default_factory=list)
    """What is not as it was sealed, the first of it."""
    blocks: int = 0
    sha256: str = ""
    key_id: str = ""
    certificates: list[str] = field(default_factory=list)


def evidence_write(
    draft: Draft, chosen: Chosen, *, asked: dict[str, Any], beat: Beat, using: str
) -> Exported:
    """Writes the zip into a draft, which is left to the caller to commit.

    Args:
        asked: what was asked by whom and why, text by text: it is signed with the rest.

    Raises:
        NothingSealed: there is no block yet.
        StorageError: it cannot be written, or a certificate not be read.
        AnchorUnusable, KeyUnusable.
    """
    return _Writer(draft, chosen, asked, beat, using).write()


class _Writer:
    def __init__(
        self, draft: Draft, chosen: Chosen, asked: dict[str, Any], beat: Beat, using: str
    ) -> None:
        position = SealPosition.objects.using(using).first()
        last = SealBlock.objects.using(using).order_by("number").last()
        if position is None or last is None:
            raise NothingSealed("Nothing is sealed yet: manage.py audit_seal does it.")
        self._chain, self._last, self._as_of = str(position.chain), last.number, timezone.now()
        self._chosen, self._asked, self._beat, self._using = chosen, asked, beat, using
        self._zip = EvidenceZip(draft, self._as_of)
        self._blocks, self._numbers = Blocks(using), Numbers()
        self._done = Exported(blocks=last.number)
        self._leaves: list[tuple[int, int]] = []
        """Section and place of exported rows of which something was redacted."""
        self._tables: list[tuple[str, int, list[list[str]]]] = []

    def write(self) -> Exported:
        with self._zip:
            self._members()
            self._done.sha256 = self._zip.close()
        return self._done

    def _members(self) -> None:
        self._zip.add("README.txt", README.read_bytes())
        self._zip.add("verify_evidence.py", VERIFIER.read_bytes())
        with self._zip.member("headers.jsonl") as sink:
            for header, signature in self._headers():
                sink.line({"header": header, "signature": signature})
        with self._zip.member("anchors.jsonl") as sink:
            for anchor in self._anchors():
                sink.line(anchor)
        for tracked in self._chosen.tables:
            self._versions(tracked)
        self._numbers.settle()
        self._ours("auditing_changecontext", self._numbers.contexts)
        self._ours("auditing_changestatement", self._numbers.statements)
        self._ours("auditing_changetransaction", self._numbers.transactions)
        self._concerned()
        # The one that signs must be among them, whatever is rotated meanwhile.
        signer = keys.signer()
        self._zip.add("keys.json", _document(_keys(self._using)))
        facts = {
            "Asked for by": self._asked["by"],
            "Why": self._asked["reason"],
            "Run": self._asked["run"],
            "Record": self._asked["record"],
            "From": moment(self._chosen.since),
            "To": moment(self._chosen.until),
            "Made": f"{self._as_of:%Y-%m-%d %H:%M:%S} UTC, up to block {self._last:,}",
        }
        self._zip.add("summary.html", page(self._title(), facts, self._tables))
        self._manifest(signer)

    def _headers(self) -> Iterator[tuple[str, str]]:
        found = SealBlock.objects.using(self._using).filter(number__lte=self._last)
        after = 0
        while True:
            page_ = list(
                found.filter(number__gt=after)
                .order_by("number")
                .values_list("number", "header", "signature")[:500]
            )
            yield from ((header, signature) for _, header, signature in page_)
            self._beat()
            if not page_:
                return
            after = page_[-1][0]

    def _anchors(self) -> Iterator[dict[str, Any]]:
        """Those of the file; those in the storage where the file has none of their block."""
        known: set[int] = set()
        for each in anchors(self._chain):
            if each.anchor.number <= self._last:
                known.add(each.anchor.number)
                yield {"anchor": asdict(each.anchor), "signature": each.signature}
        headers = SealBlock.objects.using(self._using)
        for each in anchors_stored(self._chain):
            number = each.anchor.number
            if number in known or number > self._last:
                continue
            # What was anchored before the database was put back is of blocks that are gone.
            if headers.filter(number=number, hash=each.anchor.hash).exists():
                yield {"anchor": asdict(each.anchor), "signature": each.signature}

    def _versions(self, tracked: TrackedTable) -> None:
        source, where = str(tracked.history), self._chosen.where(tracked)
        name = str(tracked)
        if f"summary/{name}.csv" in self._zip.members:
            # It was audited more than once.
            name = source
        summary = Summary(tracked)
        contexts: dict[int, ChangeContext] = {}

        def read(section: SealSection) -> list[SealedRow]:
            self._beat()
            if not history_exists(tracked):
                return []
            rows = list(versions_in(section, where, using=self._using))
            named = {int(row.meta[_CONTEXT]) for row in rows if row.meta[_CONTEXT] != b"\\N"}
            contexts.clear()
            contexts.update(ChangeContext.objects.using(self._using).in_bulk(named))
            return rows

        def note(section: SealSection, row: SealedRow) -> None:
            self._numbers.statements.append(int(row.meta[_STATEMENT]))
            self._numbers.transactions.append(int(row.meta[_XID]))
            if row.meta[_CONTEXT] != b"\\N":
                number = int(row.meta[_CONTEXT])
                if number in contexts and contexts[number].xid == int(row.meta[_XID]):
                    self._numbers.contexts.append(number)
            self._redacted(section, row)
            summary.add(section, row, contexts)

        try:
            with self._zip.member(f"rows/{source}.jsonl") as sink:
                written = rows_write(
                    sink,
                    self._wanted(tracked, source),
                    read=read,
                    note=note,
                    blocks=self._blocks,
                    last=self._last,
                    using=self._using,
                )
            self._noted(source, written)
            self._done.versions += written.rows
            if self._chosen.record is None:
                self._done.complete += [(source, *each) for each in written.whole]
            self._zip.add_file(f"summary/{name}.csv", summary.ended())
            self._tables.append((name, written.rows, summary.first))
        finally:
            summary.close()

    def _wanted(self, tracked: TrackedTable, source: str) -> Iterator[tuple[Bounds, bool]]:
        since, until = self._chosen.since, self._chosen.until
        of_record = None if self._chosen.record is None else self._record(tracked)
        for bounds in sections(source, upto=self._last, using=self._using):
            wanted = not (
                (since and bounds.last_at and bounds.last_at < since)
                or (until and bounds.first_at and bounds.first_at >= until)
            )
            if wanted and of_record is not None:
                seqs, statements = of_record
                wanted = bool(
                    among(statements, bounds.first_statement or 0, bounds.last_statement or 0)
                    if bounds.form == "image"
                    else among(seqs, bounds.first, bounds.last)
                )
            yield bounds, wanted

    def _record(self, tracked: TrackedTable) -> tuple[array[int], array[int]]:
        return numbers_of(tracked, self._chosen.where(tracked), using=self._using)

    def _ours(self, table: str, wanted: array[int]) -> None:
        """Rows of a table of ours, by their keys."""
        source = f"custody.{table}"
        if not wanted:
            return

        def read(section: SealSection) -> list[SealedRow]:
            self._beat()
            chosen = among(wanted, section.first, section.last)
            return list(rows_in(section, chosen, using=self._using))

        with self._zip.member(f"rows/{source}.jsonl") as sink:
            found = numbered(sections(source, upto=self._last, using=self._using), wanted)
            written = rows_write(
                sink,
                found,
                read=read,
                note=self._redacted,
                blocks=self._blocks,
                last=self._last,
                using=self._using,
            )
        self._noted(source, written)

    def _redacted(self, section: SealSection, row: SealedRow) -> None:
        if any(not value for _, _, *value in row.shown):
            self._leaves.append((section.pk, row.place))

    def _concerned(self) -> None:
        """Events, removals and redactions of the tables or the record, and their certificates."""
        record = self._chosen.record is not None
        tables = [tracked.pk for tracked in self._chosen.tables]
        redacted, runs = redactions_of(self._leaves, using=self._using)
        events = events_of(tables, redaction_runs=runs if record else None, using=self._using)
        self._ours("auditing_auditevent", array("q", events))
        if not record:
            self._ours("auditing_removal", array("q", removals_of(tables, using=self._using)))
        self._ours("auditing_redaction", array("q", redacted))
        store = storage()
        for certificate in certificates_of(events, using=self._using):
            with store.open(certificate.json_path) as file:
                self._zip.add(f"certificates/{certificate.number}.json", file.read())
            self._done.certificates.append(certificate.number)

    def _noted(self, source: str, written: Written) -> None:
        self._done.counts[source] = written.rows
        self._done.altered += written.altered[: max(0, 100 - len(self._done.altered))]

    def _title(self) -> str:
        return ", ".join(str(tracked) for tracked in self._chosen.tables[:5]) + (
            f" and {len(self._chosen.tables) - 5} more" if len(self._chosen.tables) > 5 else ""
        )

    def _manifest(self, signer: keys.Signer) -> None:
        manifest = {
            "format": FORMAT,
            "id": secrets.token_hex(8),
            "made_at": timezone.now().isoformat(timespec="seconds"),
            "as_of": self._as_of.isoformat(timespec="microseconds"),
            "organisation": settings.CUSTODY_ORGANISATION,
            "key_id": signer.key_id,
            "asked": {
                **self._asked,
                "from": moment(self._chosen.since),
                "to": moment(self._chosen.until),
                "tables": [str(tracked) for tracked in self._chosen.tables],
            },
            "chain": self._chain,
            "blocks": self._last,
            "counts": self._done.counts,
            "complete": [list(each) for each in self._done.complete],
            "members": self._zip.members,
        }
        signature = signer.sign(canonical(manifest)).signature_b64
        self._zip.add("manifest.json", _document({"manifest": manifest, "signature": signature}))
        self._done.key_id = signer.key_id


def _keys(using: str) -> dict[str, Any]:
    """The public halves, and how each followed the one before."""
    found = list(SigningKey.objects.using(using).order_by("created_at", "id"))
    return {
        "keys": [
            {
                "key_id": key.key_id,
                "public_key": key.public_key,
                "since": key.created_at.isoformat(),
                "until": moment(key.retired_at),
                "ended": key.ended,
                "compromised_since": moment(key.compromised_since),
            }
            for key in found
        ],
        "statements": [statement for key in found for statement in key.statements],
    }


def _document(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
