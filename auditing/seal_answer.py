"""The answer to one question: is the log sealed and proved? For pages, the overview, the doctor."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from auditing.services.seal_state import SealState


def answer(state: SealState) -> tuple[str, str]:
    """A headline and a sentence: sealed and proved, or what is wrong."""
    return _trouble(state) or _well(state)


def _trouble(state: SealState) -> tuple[str, str] | None:
    proved = state.verification
    if state.rewound:
        return "The database was rewound", state.rewound
    if proved is not None and proved.findings:
        many = proved.findings != 1
        told = (
            f"Run {proved.run.pk} found {proved.findings:,} thing{'s' if many else ''} that "
            f"{'are' if many else 'is'} not as sealed. Keep the database as it is until you know "
            "why."
        )
        return "The log is not what was sealed", told
    if state.is_late and state.waiting_since is not None:
        told = (
            f"Changes have waited since {_clock(state.waiting_since)}. Beat seals every half "
            "minute: see that beat and a worker run (manage.py doctor), or seal now."
        )
        return "The log is not sealed up to now", told
    if state.anchor_problem:
        return "The anchors cannot be read", state.anchor_problem
    return None


def _well(state: SealState) -> tuple[str, str]:
    proved = state.verification
    if state.last is None:
        return (
            "Nothing is sealed yet",
            "The first change of an audited table makes the first block.",
        )
    until = f"Up to {_clock(state.sealed_until or state.last.made_at)}."
    if proved is None:
        return "The log is sealed", f"{until} It was never verified that it still is so."
    ended = _clock(proved.run.finished_at or proved.run.created_at)
    if not proved.whole:
        told = f"{until} A part of it was verified on {ended}, and nothing was found there."
        return "The log is sealed", told
    told = f"{until} It was verified on {ended}: nothing was altered, removed or added."
    return "The log is sealed and proved", told


def _clock(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%-d %b %Y, %H:%M %Z")
