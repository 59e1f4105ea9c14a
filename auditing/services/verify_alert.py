"""What a verification found is an alert until one that looks as far finds nothing."""

from __future__ import annotations

from auditing.models import VerifyFinding
from operations.models import Alert, Run
from operations.services.alerts import alert_raise, alert_resolve

VERIFY_ALERT = "audit-verify:"
"""With what follows, the key of the alert."""
_REMEDY = (
    "manage.py run_show {} tells of the run. manage.py audit_verify looks again; this alert ends "
    "when it finds nothing."
)
_NAMED = 5
"""Findings that the alert tells itself."""


def verify_alert(run: Run, *, whole: bool) -> None:
    """Raises or resolves, by the findings of a verification that is over.

    Args:
        run: with `first` and `tracked` among its parameters.
        whole: it looked at all that it was to look at.
    """
    tracked = run.parameters["tracked"]
    found = VerifyFinding.objects.filter(run_id=run.pk).order_by("id")
    count = found.count()
    if count:
        key = f"{VERIFY_ALERT}{tracked or 'all'}"
        known = Alert.objects.filter(key=key, resolved_at=None).select_related("run").first()
        if known is not None and known.run is not None and _reaches(known.run, run):
            # What that one found may lie before what this one looked at.
            run, count = known.run, VerifyFinding.objects.filter(run_id=known.run.pk).count()
            found = VerifyFinding.objects.filter(run_id=run.pk).order_by("id")
        told = [f"- {each.text}" for each in found[:_NAMED]]
        if count > _NAMED:
            told.append(f"- and {count - _NAMED:,} more")
        alert_raise(
            key=key,
            summary=f"Verification found {count:,} thing{'' if count == 1 else 's'} in the audit "
            f"log that {'is' if count == 1 else 'are'} not as sealed.",
            remedy="\n".join([*told, _REMEDY.format(run.pk)]),
            run=run,
        )
    elif whole:
        for alert in Alert.objects.filter(key__startswith=VERIFY_ALERT, resolved_at=None):
            if alert.run is None or _reaches(run, alert.run):
                alert_resolve(key=alert.key)


def _reaches(one: Run, other: Run) -> bool:
    """One verification looks at everything that the other looked at."""
    mine, theirs = one.parameters, other.parameters
    return mine["tracked"] in (None, theirs["tracked"]) and mine["first"] <= max(theirs["first"], 1)
