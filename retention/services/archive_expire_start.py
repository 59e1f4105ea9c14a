"""Asking for an expiry: by policy, of all archives past their term or of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from django.contrib.auth.models import User
from django.utils import timezone

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.exceptions import RunBusy
from operations.runs.states import OPEN, RunState
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create
from retention.exceptions import ArchiveRefused
from retention.models import Archive, RetentionPolicy
from retention.selectors.archives_due import archives_due, kept_because
from retention.services.archive_expire import KIND
from retention.services.archive_vetoes import archive_vetoes, vetoes_token


@dataclass(frozen=True)
class Due:
    """The archives of one policy that are past their term."""

    policy: RetentionPolicy
    archives: list[Archive] = field(default_factory=list)
    """Those that a run may destroy; it asks the vetoes itself."""
    kept: list[tuple[Archive, str]] = field(default_factory=list)
    """Locked, or held as a run found them, with nothing placed or lifted since; and why."""


@dataclass(frozen=True)
class ExpiryAnswer:
    """What became of one policy's archives."""

    due: Due
    run: Run | None
    refusal: str = ""


def expiry_due() -> list[Due]:
    """All that are past their term, by policy, and what a run began. Reads no archive."""
    found = sorted(archives_due(now=timezone.now()), key=lambda archive: archive.policy.name)
    due = [
        _sorted_out(policy, list(archives))
        for policy, archives in groupby(found, key=lambda archive: archive.policy)
    ]
    begun = Run.objects.filter(kind=KIND, state__in=OPEN).values_list(
        "parameters__policy", flat=True
    )
    others = set(begun) - {each.policy.pk for each in due}
    return due + [Due(policy) for policy in RetentionPolicy.objects.filter(pk__in=others)]


def expiry_named(archives: Sequence[Archive]) -> list[Due]:
    """The same of archives that somebody names. Raises ArchiveRefused where one is to be kept."""
    now = timezone.now()
    for archive in archives:
        why = kept_because(archive, now=now)
        if why:
            raise ArchiveRefused(f"{archive.name} {why}")
    found = sorted(archives, key=lambda archive: (archive.policy.name, archive.pk))
    return [
        Due(policy, list(some))
        for policy, some in groupby(found, key=lambda archive: archive.policy)
    ]


def expiry_request(*, due: Due, requester: User, reason: str = "") -> Run | None:
    """The policy's open run, resumed when it had failed or was paused; else a new one.

    None when every archive is kept.

    Raises:
        ArchiveRefused: an archive's term is not over.
        RunBusy: the open run does not have all of these archives.
    """
    wanted = [archive.pk for archive in due.archives]
    run = run_open_for(kind=KIND, subject=due.policy.name)
    if run is not None:
        if not set(wanted) <= set(run.parameters["archives"]) and run.current is RunState.PAUSED:
            raise RunBusy(f"{run} is paused: let it end first (manage.py run_resume {run.pk}).")
        return run_again(run=run, requester=requester, reason=reason)
    if not wanted:
        return None
    return run_create(
        kind=KIND,
        parameters={"policy": due.policy.pk, "archives": wanted},
        requester=requester,
        reason=reason,
        using=due.policy.database,
    )


def archive_expire(
    *,
    due: Due,
    requester: User,
    reason: str = "",
    wait: bool = False,
    on_progress: Callable[[Run], None] | None = None,
) -> ExpiryAnswer:
    """Destroys in this process, to the end.

    Args:
        wait: for another person's approval, when the run needs one.
    """
    try:
        run = expiry_request(due=due, requester=requester, reason=reason)
        if run is not None:
            run = run_to_end(run=run, wait=wait, on_progress=on_progress)
        return ExpiryAnswer(due, run)
    except CustodyError as error:
        return ExpiryAnswer(due, None, str(error))


def expiry_rehearse(*, due: Due) -> list[tuple[Archive, str]]:
    """Each archive with who holds it, or nothing. Reads those of tables that somebody holds."""
    found = [(archive, ", ".join(archive_vetoes(archive=archive).by)) for archive in due.archives]
    return [(archive, f"is held by {by}." if by else "") for archive, by in found]


def _sorted_out(policy: RetentionPolicy, archives: list[Archive]) -> Due:
    due, now = Due(policy), timezone.now()
    last = Run.objects.filter(kind=KIND, subject=policy.name, state=RunState.SUCCEEDED)
    run = last.order_by("-id").first()
    seen = {each["archive"]: each for each in run.cursor.get("kept", ())} if run else {}
    for archive in archives:
        why = kept_because(archive, now=now) or _still_held(archive, seen.get(archive.name))
        if why:
            due.kept.append((archive, why))
        else:
            due.archives.append(archive)
    return due


def _still_held(archive: Archive, seen: dict[str, str] | None) -> str:
    """What the last run found, as long as nobody placed or lifted anything: no need to read it."""
    if seen is None or seen.get("token") != vetoes_token(archive=archive):
        return ""
    return seen["why"]
