"""Expiry: archives past their term are destroyed, and a certificate says so.

Invariants:
- A veto wins: it is asked of the archived rows, and once more in the transaction that decides, in
  which none can be placed. One that comes later counts for the next archive.
- Nothing is destroyed before its proof is durable: first the decision is committed (the archive is
  `destroyed` for everybody), then a proof lies beside the files, then the files go.
- Killed at any moment, the run goes on where it was: a decision is never taken back, and deleting
  is repeatable. The certificate is issued when no file is left, with the run's last transaction.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.kinds import Beat, Outcome, Plan, RunKind, Step, StepStalled, register
from operations.selectors.runs import recent_maximum
from retention.exceptions import ArchiveRefused
from retention.models import Archive, RetentionPolicy
from retention.selectors.archives_due import kept_because
from retention.services.archive_erase import archive_erase, archive_leftovers
from retention.services.archive_expire_close import expiry_close
from retention.services.archive_vetoes import Vetoes, archive_vetoes, vetoes_token

KIND = "archive_expire"
_START: dict[str, Any] = {"at": 0, "decided": False, "kept": []}


@register
class ArchiveExpire(RunKind):
    """Takes the archives of one policy one by one: a step decides, the next one has deleted."""

    name = KIND
    title = "Expiry of archives"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.cursor: dict[str, Any] = {**_START, **run.cursor}
        self.next_cursor = self.cursor
        self.found: tuple[int, Vetoes] | None = None
        self.erased: int | None = None

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:  # noqa: ARG003
        policy = RetentionPolicy.objects.get(pk=parameters["policy"])
        archives = _planned(policy, parameters["archives"])
        total = sum(archive.rows for archive in archives)
        most = recent_maximum(kind=KIND, subject=policy.name)
        return Plan(
            subject=policy.name,
            facts={
                "policy": policy.name,
                "policy_version": policy.version,
                "archives": [_told(archive) for archive in archives],
                "rows": total,
                "bytes": sum(archive.bytes for archive in archives),
                "most_recently": most,
            },
            total=total,
            parameters={"policy": policy.pk, "archives": [archive.pk for archive in archives]},
            approval_reason=_surge(most, total),
        )

    # One step.

    def prepare(self, beat: Beat) -> None:
        archive = self._current(self.cursor)
        if archive is None:
            return
        if self.cursor["decided"]:
            archive_erase(archive=archive, beat=beat)
            self.erased = archive.pk
        elif not kept_because(archive, now=timezone.now()):
            self.found = (archive.pk, archive_vetoes(archive=archive, beat=beat))

    def step(self, run: Run) -> Step:
        cursor = {**self.cursor, "kept": list(self.cursor["kept"])}
        archive = self._current(cursor, lock=True)
        if archive is None:
            return Step(self._moved_to(cursor), 0, finished=True)
        done = 0
        notes: tuple[str, ...] = ()
        if cursor["decided"]:
            assert self.erased == archive.pk
            done = archive.rows
            cursor.update(at=cursor["at"] + 1, decided=False)
        elif why := self._why_kept(archive):
            token = self.found[1].token if self.found else ""
            cursor["kept"].append({"archive": archive.name, "why": why, "token": token})
            cursor["at"] += 1
            notes = (f"{archive.name} {why}",)
        else:
            self._decide(archive)
            cursor["decided"] = True
        finished = cursor["at"] >= len(self.parameters["archives"])
        return Step(self._moved_to(cursor), done, finished=finished, notes=notes)

    def _moved_to(self, cursor: dict[str, Any]) -> dict[str, Any]:
        self.next_cursor = cursor
        return cursor

    def _current(self, cursor: dict[str, Any], *, lock: bool = False) -> Archive | None:
        wanted: list[int] = self.parameters["archives"]
        if cursor["at"] >= len(wanted):
            return None
        archives = Archive.objects.select_related("policy", "run")
        if lock:
            archives = archives.select_for_update(of=("self",))
        return archives.get(pk=wanted[cursor["at"]])

    def _why_kept(self, archive: Archive) -> str:
        """In the transaction that decides: from here on no veto can be placed until its end."""
        why = kept_because(archive, now=timezone.now())
        if why:
            return why
        if self.found is None or self.found[0] != archive.pk:
            # Its term ended since `prepare` looked.
            raise StepStalled(f"{archive.name} has to be looked at again.")
        found = self.found[1]
        if vetoes_token(archive=archive) != found.token:
            raise StepStalled(f"A hold was placed or released while {archive.name} was read.")
        return f"is held by {', '.join(found.by)}." if found.by else ""

    def _decide(self, archive: Archive) -> None:
        archive.state = Archive.State.DESTROYED
        archive.destroyed_at = timezone.now()
        archive.destroyed_by_id = self.run_id
        archive.save(update_fields=["state", "destroyed_at", "destroyed_by"])
        # Where a batch began and ended may be a key, and a key a person's number.
        archive.parts.update(window={})

    # Around the step.

    def committed(self) -> None:
        self.cursor = self.next_cursor

    def rolled_back(self, error: BaseException) -> None:
        self.next_cursor = self.cursor

    def verify(self, run: Run, beat: Beat) -> None:
        """Of the files that the database knows none is left."""
        for archive in run.destroyed_archives.order_by("id"):
            beat()
            known = {
                file for part in archive.parts.all() for file in (part.file, f"{part.file}.json")
            }
            left = known.intersection(archive_leftovers(archive))
            if left:
                raise CustodyError(
                    f"{len(left):,} files of {archive.name} are still in the storage, such as "
                    f"{min(left)}. Let the console delete there, then resume the run."
                )

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        # Cancelled between the decision and its end: what was decided is done.
        cursor = {**_START, **run.cursor}
        archive = self._current(cursor)
        if archive is not None and cursor["decided"]:
            archive_erase(archive=archive)
        kept = [{"archive": each["archive"], "why": each["why"]} for each in cursor["kept"]]
        return expiry_close(run=run, outcome=outcome, kept=kept)


def _planned(policy: RetentionPolicy, wanted: list[int]) -> list[Archive]:
    """Raises ArchiveRefused for an archive that is not to be destroyed."""
    now = timezone.now()
    archives = list(Archive.objects.filter(policy=policy, pk__in=wanted).order_by("id"))
    for archive in archives:
        why = kept_because(archive, now=now)
        if why:
            raise ArchiveRefused(f"{archive.name} {why}")
    return archives


def _told(archive: Archive) -> dict[str, Any]:
    return {
        "archive": archive.name,
        "table": f"{archive.schema_name}.{archive.table_name}",
        "rows": archive.rows,
        "bytes": archive.bytes,
        "kept_until": f"{archive.expires_at:%Y-%m-%d}",
    }


def _surge(most: int | None, total: int) -> str:
    if most is None or total <= 2 * most:
        return ""
    return (
        f"{total:,} archived rows are past their term, more than twice the {most:,} that a recent "
        "run of this policy destroyed at most: another person has to approve it."
    )
