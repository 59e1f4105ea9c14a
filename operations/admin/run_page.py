"""Everything the page of one run shows, and the pieces of it that change while it works."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.core.paginator import Paginator
from django.template.loader import render_to_string
from django.utils import timezone

from operations.admin.run_decisions import decisions_for, why_not_approve
from operations.admin.run_presenting import kind_title, presenter
from operations.admin.show import (
    NOTHING,
    STATE_COLOURS,
    Fact,
    clock,
    code,
    digest,
    duration,
    link,
    number,
    when,
)
from operations.models import Run
from operations.runs.states import ENDED, OWNED, RunState

EVENTS_A_PAGE = 20
LIVE = (RunState.QUEUED, *OWNED)
"""States that may change at any second."""

REGIONS = ("state", "actions", "notice", "figures", "outcome", "log")
"""The pieces that the page replaces when they change; each is `operations/run/NAME.html`."""


def run_page(run: Run, user: User | AnonymousUser, *, log_page: int = 1) -> dict[str, Any]:
    """The context of `operations/run.html` and of its pieces."""
    shown = presenter(run)
    return {
        "run": run,
        "kind": kind_title(run.kind),
        "subject": shown.subject(run),
        "colour": STATE_COLOURS[run.state],
        "percent": percent(run),
        "decisions": decisions_for(run, user),
        "why_not_approve": why_not_approve(run, user),
        "remedy": _remedy(run, user),
        "figures": _figures(run),
        "plan": shown.plan(run),
        "people": _people(run),
        "technical": _technical(run),
        "outcome": _outcome(run, user),
        "events": Paginator(run.events.order_by("-id"), EVENTS_A_PAGE).get_page(log_page),
        "live": run.current not in ENDED,
    }


def run_progress(run: Run, user: User | AnonymousUser) -> dict[str, Any]:
    """What the page asks for each second: the numbers, and the pieces as HTML."""
    context = run_page(run, user)
    return {
        "state": run.state,
        "colour": context["colour"] or "plain",
        "ended": run.current in ENDED,
        "again_after": 1 if run.current in LIVE else 5,
        "done": run.done,
        "total": run.total,
        "unit": run.unit,
        "percent": context["percent"],
        "rate": round(run.rate, 1) if run.rate else None,
        "eta_seconds": run.eta.total_seconds() if run.eta else None,
        "summary": summary(run),
        "regions": {
            name: render_to_string(f"operations/run/{name}.html", context) for name in REGIONS
        },
    }


def percent(run: Run) -> int | None:
    """0 to 100, and 100 only when all is done; None when the total is not known."""
    return None if run.fraction is None else int(run.fraction * 100)


def summary(run: Run) -> str:
    """One line for those who listen rather than look."""
    share = percent(run)
    return f"{run.current.label}" + (f", {share} percent" if share is not None else "")


def _figures(run: Run) -> list[Fact]:
    total = f"of {run.total:,} {run.unit}" if run.total is not None else run.unit
    return [
        Fact("Done", number(run.done), total),
        Fact("Rate", f"{run.rate:,.0f}" if run.rate else NOTHING, f"{run.unit} a second"),
        Fact("Time left", duration(run.eta) if run.eta is not None else NOTHING, "at this rate"),
        Fact("Elapsed", _elapsed(run), "since it began"),
    ]


def _elapsed(run: Run) -> str:
    if run.started_at is None:
        return NOTHING
    until: datetime = run.finished_at or timezone.now()
    return duration(until - run.started_at)


def _people(run: Run) -> list[Fact]:
    facts = [
        Fact("Asked for by", str(run.requester), clock(run.created_at)),
        Fact("Reason", run.reason or NOTHING),
    ]
    if run.decided_by is not None and run.decided_at is not None:
        verb = "Approved by" if run.decision == "approved" else "Refused by"
        facts.append(Fact(verb, str(run.decided_by), clock(run.decided_at)))
        facts.append(Fact("Because", run.decision_reason or NOTHING))
    return facts


def _technical(run: Run) -> list[Fact]:
    return [
        Fact("Plan hash", digest(run.plan_hash), "an approval binds the plan with this hash"),
        Fact("Database", run.database),
        Fact("Worker", run.worker or NOTHING),
        Fact("Last sign of life", when(run.heartbeat_at)),
        Fact("Owners so far", number(run.fence)),
        Fact("On the command line", code(f"manage.py run_show {run.pk}")),
    ]


def _remedy(run: Run, user: User | AnonymousUser) -> str:
    if run.current is not RunState.FAILED:
        return ""
    if user.has_perm("operations.control_run"):
        return (
            "Mend the cause, then resume the run: it goes on where it stopped. "
            "Or cancel it: what it did is closed with its proof."
        )
    return "An operator has to mend the cause and resume or cancel the run."


def _outcome(run: Run, user: User | AnonymousUser) -> list[Fact]:
    if not run.result:
        return []
    facts = presenter(run).outcome(run)
    sees = user.has_perm("operations.view_certificate")
    for certificate in run.certificates.all():
        shown = (
            link(certificate.number, "operations_certificate_change", certificate.pk)
            if sees
            else certificate.number
        )
        facts.append(Fact("Certificate", shown, "signed, numbered, never changed"))
    return facts
