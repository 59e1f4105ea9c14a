"""The overview: what needs somebody first, then what is under way, then what was done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from auditing.models import TrackedTable
from auditing.selectors.log_filter import OWN
from auditing.services.seal_state import seal_state
from config.dashboard_lines import Line
from config.dashboard_retention import bin_tile, retention_context
from config.dashboard_seals import seal_lines, seal_tile
from operations.admin.run_page import percent
from operations.admin.run_presenting import kind_title
from operations.admin.show import STATE_COLOURS, ago, duration, number, size, when
from operations.models import Alert, Certificate, Run
from operations.runs.states import OWNED, RunState
from operations.selectors.heartbeats import SignOfLife, signs_of_life
from operations.selectors.schedules import jobs_missed
from operations.services.watch import MISSED_REMEDY, missed_text
from retention.models import Archive, RetentionPolicy

DAYS = 30
SHOWN = 8
_PAYLOAD = ("parameters", "plan", "cursor", "result")
_SERVE = "Start it: manage.py serve, or the service that runs it. More says: manage.py doctor"


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK. Each part is there only for those who may see its pages."""
    sees = request.user.has_perm
    sealing = seal_state() if sees("auditing.view_sealblock") else None
    if sees("operations.view_alert"):
        context["lines"] = [*_process_lines(), *_missed_lines(), *_alert_lines()]
        if sealing is not None:
            context["lines"] += seal_lines(sealing)
    if sees("operations.view_run"):
        context |= _runs()
        context["queued"] = Run.objects.filter(state=RunState.QUEUED).count()
        context["days"] = _days()
        context["days_total"] = number(sum(day["rows"] for day in context["days"]))
    if sees("operations.view_certificate"):
        context["certificates"] = [
            (each, when(each.issued_at)) for each in Certificate.objects.defer("body")[:SHOWN]
        ]
    if sees("retention.view_retentionpolicy"):
        context |= retention_context()
    if sees("retention.view_archive"):
        context["tiles"] = _tiles()
        if sees("auditing.view_trackedtable"):
            context["tiles"].append(_audited())
        if sealing is not None:
            context["tiles"].append(seal_tile(sealing))
    if sees("retention.view_deletion"):
        context.setdefault("tiles", []).append(bin_tile())
    return context


def _process_lines() -> list[Line]:
    return [_process_line(sign) for sign in signs_of_life() if sign.vital != "alive"]


def _process_line(sign: SignOfLife) -> Line:
    what = {"worker": "The worker, which does the runs,", "beat": "Beat, which starts them,"}
    told = {
        "never": "was never heard of.",
        "stopped": f"was stopped {ago(sign.at)}." if sign.at else "was stopped.",
        "silent": f"gave its last sign of life {ago(sign.at)}." if sign.at else "is silent.",
    }[sign.vital]
    colour = "danger" if sign.vital == "silent" else "warning"
    return Line(colour, f"{what.get(sign.name, sign.name)} {told}", _SERVE)


def _missed_lines() -> list[Line]:
    # With the worker dead nobody raises the alert: then the overview says it itself.
    missed = {f"job-missed:{job.name}": job for job in jobs_missed()}
    if not missed:
        return []
    open_alerts = Alert.objects.filter(key__in=missed, resolved_at=None)
    alerted = set(open_alerts.values_list("key", flat=True))
    return [
        Line("warning", missed_text(job), MISSED_REMEDY)
        for key, job in missed.items()
        if key not in alerted
    ]


def _alert_lines() -> list[Line]:
    return [
        Line(
            "danger" if alert.severity == "error" else "warning",
            alert.summary,
            alert.remedy,
            _alert_url(alert),
            ago(alert.raised_at),
        )
        for alert in Alert.objects.filter(resolved_at=None)[:20]
    ]


def _alert_url(alert: Alert) -> str:
    if alert.run_id is not None:
        return reverse("admin:operations_run_change", args=[alert.run_id])
    return reverse("admin:operations_alert_change", args=[alert.pk])


def _runs() -> dict[str, list[dict[str, Any]]]:
    """The newest runs that are worked on, that wait for approval, and that ended."""
    # By number, which an index serves; they end in nearly that order.
    newest = Run.objects.order_by("-id").values("pk")
    wanted = newest.filter(state__in=OWNED)[:SHOWN].union(
        newest.filter(state=RunState.AWAITING_APPROVAL)[:SHOWN],
        newest.filter(finished_at__isnull=False)[:SHOWN],
    )
    runs = Run.objects.filter(pk__in=wanted).select_related("requester").defer(*_PAYLOAD)
    found = list(runs.order_by("-id"))
    parts = {
        "working": [run for run in found if run.state in OWNED],
        "waiting": [run for run in found if run.state == RunState.AWAITING_APPROVAL],
        "last": [run for run in found if run.finished_at is not None],
    }
    return {part: [_shown(run) for run in each[:SHOWN]] for part, each in parts.items()}


def _shown(run: Run) -> dict[str, Any]:
    return {
        "run": run,
        "title": f"{kind_title(run.kind)} of {run.subject}",
        "url": reverse("admin:operations_run_change", args=[run.pk]),
        "colour": STATE_COLOURS[run.state],
        "percent": percent(run),
        "left": duration(run.eta) if run.eta is not None else "",
        "finished": when(run.finished_at),
    }


def _days() -> list[dict[str, Any]]:
    """Rows removed a day, the oldest first; a day without a run has 0."""
    today = timezone.localdate()
    first = today - timedelta(days=DAYS - 1)
    found = dict(
        Run.objects.filter(kind="purge", finished_at__date__gte=first)
        .annotate(day=TruncDate("finished_at"))
        .values("day")
        .annotate(rows=Sum("done"))
        .order_by("day")
        .values_list("day", "rows")
    )
    most = max(found.values(), default=0)
    return [
        {
            "day": day,
            "rows": found.get(day, 0),
            "height": round(100 * found.get(day, 0) / most) if most else 0,
        }
        for day in (first + timedelta(days=number) for number in range(DAYS))
    ]


def _tiles() -> list[tuple[str, str, str, str]]:
    archives = Archive.objects.aggregate(count=Count("pk"), rows=Sum("rows"), bytes=Sum("bytes"))
    policies = RetentionPolicy.objects.filter(enabled=True).count()
    return [
        (
            "Policies",
            number(policies),
            "in force",
            reverse("admin:retention_retentionpolicy_changelist"),
        ),
        (
            "Archives",
            number(archives["count"]),
            f"{number(archives['rows'] or 0)} rows",
            reverse("admin:retention_archive_changelist"),
        ),
        (
            "In archives",
            size(archives["bytes"] or 0),
            "compressed",
            reverse("admin:retention_archive_changelist"),
        ),
    ]


def _audited() -> tuple[str, str, str, str]:
    audited = TrackedTable.objects.filter(untracked_at=None).exclude(schema_name=OWN)
    return (
        "Audited tables",
        number(audited.count()),
        "of applications",
        reverse("admin:auditing_trackedtable_changelist"),
    )
