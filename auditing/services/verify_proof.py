"""Removals and redactions count only with proof: a signed certificate that tells the same of them.

Whoever can write to the database can write rows that say that a purge took something. He cannot
sign the certificate of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from django.db.models import Sum

from auditing.models import AuditEvent, RedactedValue, Removal, SealSection, TrackedTable
from auditing.seals.found import Finding, Found
from auditing.seals.redacted import RedactedLine, redacted_digest
from operations.models import Certificate, Run
from operations.runs.states import OPEN
from operations.selectors.certificate_checks import certificate_check

PROVED, GOING_ON = "proved", "open"


@dataclass
class Removals:
    """What the console says it removed of one history."""

    tracked: int
    retired: list[tuple[datetime, int]] = field(default_factory=list)
    """Until when, by which run."""
    numbers: list[tuple[int, int, int]] = field(default_factory=list)
    """Ranges, both ends in, by which run."""
    images: dict[int, int] = field(default_factory=dict)
    standing: dict[int, str] = field(default_factory=dict)
    """Of each run: PROVED, GOING_ON, or why it proves nothing."""

    @classmethod
    def of(cls, tracked: int, *, using: str) -> Self:
        found = cls(tracked)
        removals = Removal.objects.using(using).filter(tracked=tracked)
        for each in removals.exclude(kind=Removal.Kind.CARRIED).iterator():
            run = each.run_id or 0
            if each.kind == Removal.Kind.RETIRED and each.until is not None:
                found.retired.append((each.until, run))
                continue
            found.numbers += [(first, last, run) for first, last in each.numbers]
            found.images |= dict.fromkeys(each.images, run)
        return found

    def excuse(self, section: SealSection, number: int, tag: int | None) -> str:
        """PROVED or GOING_ON; else why not, empty when nothing of ours says that it took it."""
        told = ""
        for run in self._runs(section, number, tag):
            if run not in self.standing:
                self.standing[run] = self._standing(run)
            told = self.standing[run]
            if told in (PROVED, GOING_ON):
                break
        return told

    def _runs(self, section: SealSection, number: int, tag: int | None) -> Iterator[int]:
        for until, run in self.retired:
            if section.last_at is not None and section.last_at < until:
                yield run
        if tag is not None and tag in self.images:
            yield self.images[tag]
        if section.form != "image":
            for first, last, run in self.numbers:
                if first <= number <= last:
                    yield run

    def _standing(self, run_id: int) -> str:
        run = Run.objects.filter(pk=run_id).first()
        if run is None:
            return "a removal names a run that there never was."
        events = AuditEvent.objects.filter(run_id=run_id).exclude(certificate="")
        certificate, problem = _certificate(run, [each.certificate for each in events])
        if certificate is None:
            return problem
        tracked = TrackedTable.objects.get(pk=self.tracked)
        told: dict[str, Any] = certificate.body["body"].get("history_versions", {})
        sums = Removal.objects.filter(run_id=run_id, tracked=tracked).exclude(
            kind=Removal.Kind.CARRIED
        )
        count = sums.aggregate(Sum("versions"))["versions__sum"]
        if told.get(str(tracked.history)) != count:
            return (
                f"removals of run {run_id} tell of {count:,} versions, and its certificate "
                f"{certificate.number} of {told.get(str(tracked.history), 0):,}."
            )
        for each in sums.filter(kind=Removal.Kind.PURGED).iterator():
            span = sum(last - first + 1 for first, last in each.numbers) + len(each.images)
            if span > each.versions:
                return f"a removal of run {run_id} names more versions than it counts."
        return PROVED


def _certificate(run: Run, numbers: list[str]) -> tuple[Certificate | None, str]:
    """The run's certificate when it is valid; else what is to be said instead."""
    certificate = Certificate.objects.filter(run=run, number__in=numbers).first()
    if certificate is None:
        if run.current in OPEN:
            return None, GOING_ON
        return None, f"run {run.pk} that says it did this has no certificate of it."
    check = certificate_check(certificate)
    if not check.valid:
        return None, f"certificate {certificate.number} is not valid: {check.problems[0]}"
    return certificate, ""


def redactions_verify(*, using: str) -> Found:
    """That each redacted value is one of a certified redaction."""
    findings, checked, unproved = [], 0, 0
    runs = RedactedValue.objects.using(using).order_by("run_id").values_list("run_id", flat=True)
    for run_id in runs.distinct():
        count, said = _redaction(run_id, using)
        checked += count
        if said == GOING_ON:
            unproved += count
        elif said != PROVED:
            findings.append(
                Finding("proof", f"{count:,} values count as redacted by run {run_id}: {said}")
            )
    return Found(checked, tuple(findings), unproved=unproved)


def _redaction(run_id: int, using: str) -> tuple[int, str]:
    rows = (
        RedactedValue.objects.using(using)
        .filter(run_id=run_id)
        .exclude(commitment=None)
        .values_list("section__block_id", "section__place", "place", "name", "commitment")
    )
    values = [RedactedLine(*row[:4], bytes(row[4] or b"")) for row in rows.iterator()]
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return len(values), "there never was such a run."
    events = AuditEvent.objects.filter(run_id=run_id, kind=AuditEvent.Kind.REDACT)
    certificate, problem = _certificate(run, [each.certificate for each in events])
    if certificate is None:
        return len(values), problem
    told = certificate.body["body"]
    if (told.get("redacted_values"), told.get("redacted_sha256")) != (
        len(values),
        redacted_digest(values),
    ):
        return len(values), f"its certificate {certificate.number} tells of other values."
    return len(values), PROVED
