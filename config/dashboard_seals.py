"""The overview's part about seals: how far the log is sealed, and what is wrong with that."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone

from auditing.seal_answer import answer
from auditing.services.audit_seal import ALERT
from auditing.services.seal_state import SealState
from auditing.services.verify_alert import VERIFY_ALERT
from config.dashboard_lines import Line
from operations.admin.show import NOTHING, ago
from operations.models import Alert


def seal_lines(state: SealState) -> list[Line]:
    """Nothing while all is well; what keeps the sealer from its work may be an alert already."""
    if state.level not in ("danger", "warning"):
        return []
    proved = state.verification
    found = proved is not None and proved.findings > 0
    told_already = Alert.objects.filter(resolved_at=None)
    if found and not state.rewound:
        told_already = told_already.filter(key__startswith=VERIFY_ALERT)
    else:
        told_already = told_already.filter(key=ALERT)
    if told_already.exists():
        return []
    summary, remedy = answer(state)
    url = reverse("admin:auditing_sealblock_changelist")
    if found and proved is not None and not state.rewound:
        url = reverse("admin:auditing_sealblock_findings", args=[proved.run.pk])
    return [Line(state.level, f"{summary}.", remedy, url)]


def seal_tile(state: SealState) -> tuple[str, str, str, str]:
    """`Sealed up to 14:05`, and whether it was verified."""
    url = reverse("admin:auditing_sealblock_changelist")
    until = state.sealed_until
    if until is None:
        return ("Sealed up to", NOTHING, "nothing is sealed yet", url)
    local = timezone.localtime(until)
    today = local.date() == timezone.localdate()
    proved = state.verification
    hint = "never verified"
    if proved is not None:
        hint = f"verified {ago(proved.run.finished_at or proved.run.created_at)}"
        if proved.findings:
            hint = f"{proved.findings:,} not as sealed"
    return ("Sealed up to", local.strftime("%H:%M" if today else "%-d %b, %H:%M"), hint, url)
