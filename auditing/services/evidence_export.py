"""Exporting evidence as a run: who took what out of the log, and why, is on record.

Invariants: the file is in the storage whole or not at all; a run that was killed begins it anew.

The zip is written before the one step of the run, outside a transaction, since it may take minutes;
the step notes down where it lies. It is a copy of what may be personal data: whoever fetched it by
`--out` leaves none in the storage, and what is left there goes after KEPT.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import Sum
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from auditing.models import ChangeStatement, TrackedTable
from auditing.selectors.tracked import tracked_get
from auditing.selectors.versions import versions_of
from auditing.services.audit_seal import audit_seal
from auditing.services.evidence_write import Chosen, Exported, evidence_write
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError, UsageError
from operations.models import Run
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, register
from operations.runs.states import RunState
from operations.selectors.runs import run_get
from operations.services.run_to_end import run_to_end
from operations.services.runs import run_create, run_log
from operations.storage import storage

EVIDENCE_EXPORT = "evidence_export"
FOLDER = "evidence"
"""In the storage."""
KEPT = timedelta(days=30)
_PIECE = 1 << 20


class EvidenceChanged(CustodyError):
    """The file in the storage is not what was written."""


class _Asked(Exception):
    """Somebody asked the run to pause or to end."""


@register
class EvidenceExport(RunKind):
    """Writes one zip."""

    name = EVIDENCE_EXPORT
    title = "Export of evidence"
    unit: ClassVar[str] = "versions"
    exclusive: ClassVar[bool] = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._written: dict[str, Any] | None = None
        self._looks = 0

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        tables = TrackedTable.objects.using(using).filter(pk__in=parameters["tracked"])
        names = [str(each) for each in tables.order_by("schema_name", "table_name", "id")]
        subject = ", ".join(names) if parameters["named"] else "all audited tables"
        record = parameters["record"]
        found = ChangeStatement.objects.using(using).filter(tracked_id__in=parameters["tracked"])
        if parameters["since"]:
            found = found.filter(at__gte=parameters["since"])
        if parameters["until"]:
            found = found.filter(at__lt=parameters["until"])
        rows = found.exclude(operation="P").aggregate(rows=Sum("rows"))["rows"] or 0
        return Plan(
            subject=(f"{subject} {record}" if record is not None else subject)[:200],
            facts={
                "tables": names,
                "record": record or "",
                "from": parameters["since"] or "",
                "to": parameters["until"] or "",
                "changes_captured": None if record is not None else rows,
            },
            # Images of baselines have no summaries that could be counted.
            total=None,
            parameters=parameters,
        )

    def open(self, run: Run) -> None:
        store = storage()
        for draft in store.list_drafts(self._path(run)):
            store.delete_draft(draft)
        if not run.cursor.get("file"):
            # Of an owner that was killed before it could say so.
            store.delete(self._path(run))

    def prepare(self, beat: Beat) -> None:
        if self._written is not None:
            return
        run = run_get(self.run_id)
        if run.current is not RunState.RUNNING or run.cursor.get("file"):
            return
        audit_seal(using=self.using)
        path, store = self._path(run), storage()
        draft = store.draft(path, tag=f"{run.fence}")

        def looked() -> None:
            beat()
            self._looks += 1
            if self._looks % 50 == 0 and run_get(self.run_id).current is not RunState.RUNNING:
                raise _Asked

        try:
            done = evidence_write(
                draft, self._chosen(), asked=_asked(run), beat=looked, using=self.using
            )
            draft.commit()
        except _Asked:
            return
        finally:
            draft.discard()
        self._written = {"file": path, "bytes": draft.size, **_told(done)}

    def step(self, run: Run) -> Step:
        if self._written is None:
            return Step(run.cursor, 0, finished=bool(run.cursor.get("file")))
        return Step(dict(self._written), self._written["versions"], finished=True)

    def verify(self, run: Run, beat: Beat) -> None:
        digest = hashlib.sha256()
        for piece in pieces(run.cursor["file"]):
            digest.update(piece)
            beat()
        if digest.hexdigest() != run.cursor["sha256"]:
            raise _changed(run.cursor["file"])

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        found = {key: value for key, value in run.cursor.items() if key != "step"}
        if outcome == "complete":
            found["kept_until"] = (timezone.now() + KEPT).isoformat()
        elif run.cursor.get("file"):
            storage().delete(run.cursor["file"])
            found["file"] = None
        return found

    def _path(self, run: Run) -> str:
        return f"{FOLDER}/evidence-{run.pk}-{run.plan_hash[:8]}.zip"

    def _chosen(self) -> Chosen:
        tables = TrackedTable.objects.using(self.using).filter(pk__in=self.parameters["tracked"])
        return Chosen(
            tuple(tables.order_by("schema_name", "table_name", "id")),
            _moment(self.parameters["since"]),
            _moment(self.parameters["until"]),
            self.parameters["record"],
        )


def _moment(text: str | None) -> datetime | None:
    return parse_datetime(text) if text else None


def _asked(run: Run) -> dict[str, Any]:
    return {
        "by": str(run.requester),
        "reason": run.reason,
        "run": str(run.pk),
        "record": run.parameters["record"] or "",
    }


def _told(done: Exported) -> dict[str, Any]:
    return {
        "versions": done.versions,
        "counts": done.counts,
        "complete": [list(each) for each in done.complete],
        "altered": done.altered,
        "blocks": done.blocks,
        "sha256": done.sha256,
        "key_id": done.key_id,
        "certificates": done.certificates,
    }


def evidence_request(
    *,
    since: datetime | None,
    until: datetime | None,
    tables: list[str] | list[TableName] | None = None,
    record: str | None = None,
    requester: User,
    reason: str,
    using: str = "default",
) -> Run:
    """Plans the export and queues it.

    Args:
        since, until: by the versions' own time, `since` within, `until` not.
        tables: none: all that are or were audited.
        record: the record id, or the key as people write it, of the one table.

    Raises:
        UsageError: a record without its one table, or times the wrong way round.
        NotTracked, NoSuchVersion: there is no such table, or the text is no key of it.
    """
    if since and until and since >= until:
        raise UsageError("--from must be before --to.")
    if record is not None and len(tables or []) != 1:
        raise UsageError("--record KEY goes with one --table.")
    audits = TrackedTable.objects.using(using).filter(database=using)
    chosen = [] if tables else list(audits)
    for name in tables or []:
        newest = tracked_get(name, using=using)
        # Its earlier audits have histories of their own.
        chosen += audits.filter(schema_name=newest.schema_name, table_name=newest.table_name)
        if record is not None:
            # Refuses what is no key of the table.
            versions_of(newest, record, limit=1)
    if not chosen:
        raise UsageError("No table is audited: there is nothing to export.")
    return run_create(
        kind=EVIDENCE_EXPORT,
        parameters={
            "tracked": sorted({each.pk for each in chosen}),
            "named": bool(tables),
            "record": record,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
        },
        requester=requester,
        reason=reason,
        using=using,
    )


def evidence_export(
    *,
    since: datetime | None,
    until: datetime | None,
    tables: list[str] | None = None,
    record: str | None = None,
    requester: User,
    reason: str,
    out: Path | None = None,
    on_progress: Callable[[Run], None] | None = None,
    using: str = "default",
) -> Run:
    """Exports in this process, to the end. Returns the run in the state it was left in.

    Args:
        out: where the file is to go; then none stays in the storage.

    Raises:
        UsageError: as `evidence_request`; or the file is there, or its folder is not.
        StorageError, NothingSealed, Rewound, AnchorUnusable, KeyUnusable.
    """
    if out is not None:
        _free(out)
    run = evidence_request(
        since=since,
        until=until,
        tables=tables,
        record=record,
        requester=requester,
        reason=reason,
        using=using,
    )
    run = run_to_end(run=run, on_progress=on_progress)
    if out is not None and run.current is RunState.SUCCEEDED:
        evidence_fetch(run, out)
        storage().delete(run.result["file"])
        run.result = {**run.result, "file": None, "kept_until": None, "fetched": True}
        run.save(update_fields=["result"])
        run_log(run, f"The file went to {out.name}; none stays in the storage.")
    return run


def evidence_fetch(run: Run, out: Path) -> None:
    """Copies the file of a run, whole or not at all.

    Raises:
        UsageError: `out` is there already, or cannot be written.
        EvidenceChanged: the file in the storage is not what was written.
    """
    _free(out)
    digest = hashlib.sha256()
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.") as draft:
            for piece in pieces(run.result["file"]):
                draft.write(piece)
                digest.update(piece)
            draft.flush()
            os.fsync(draft.fileno())
            if digest.hexdigest() != run.result["sha256"]:
                raise _changed(run.result["file"])
            # Refuses to overwrite what came meanwhile.
            os.link(draft.name, out)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written: {error.strerror or error}. The evidence of run {run.pk} is "
            f"still in the storage, as {run.result['file']}."
        ) from error


def _changed(file: str) -> EvidenceChanged:
    return EvidenceChanged(
        f"{file} is not what was written: its SHA-256 is another. Export again, and look who may "
        "write into the storage."
    )


def pieces(path: str) -> Iterator[bytes]:
    """The content of a file of the storage."""
    with storage().open(path) as file:
        while piece := file.read(_PIECE):
            yield piece


def _free(out: Path) -> None:
    if out.exists():
        raise UsageError(f"{out} is there already: choose another name, or move it away.")
    if not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent}: make it first.")
