"""Whether the audit log is sealed, and proved."""

from __future__ import annotations

from auditing.seal_answer import answer
from auditing.services.seal_state import seal_state
from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note, wrong

_WHAT_THEN = "Look at the page Seals, and verify: manage.py audit_verify"


def check_seals(_server: Server) -> list[Finding]:
    state = seal_state()
    headline, told = answer(state)
    if state.level == "danger":
        return wrong("seals", f"{headline}: {told}", _WHAT_THEN)
    if state.level == "warning":
        return note("seals", f"{headline}: {told}", "manage.py audit_seal")
    if state.last is None:
        return note("seals", f"{headline}. {told}")
    return fine("seals", f"{headline}. {told}")
