from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class AuditingConfig(AppConfig):
    name = "auditing"
    verbose_name = "Auditing"
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "officer": [
            "view_*",
            "restore_version",
            "annotate_version",
            "track_table",
            "export_evidence",
            "verify_log",
            "redact_value",
        ],
        "support": [
            "view_trackedtable",
            "view_changestatement",
            "view_versionnote",
            "restore_version",
            "annotate_version",
        ],
        "operator": ["view_*", "track_table", "seal_now", "verify_log"],
        "auditor": ["view_*"],
    }

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from auditing import checks, task_headers  # noqa: F401  (registers the checks)
        from auditing.context import follow
        from auditing.selectors.evidence_kept import evidence_copies
        from auditing.selectors.find_history import HISTORY, HistoryRows
        from auditing.selectors.history_copies import history_copies
        from auditing.selectors.seal_keys import blocks_signed
        from auditing.services import (  # noqa: F401  (kinds of runs)
            audit_redact,
            audit_verify,
            baseline,
            change_revert,
            evidence_export,
        )
        from operations import copies, finding, key_uses

        connection_created.connect(
            lambda connection, **_: follow(connection),
            weak=False,
            dispatch_uid="auditing.context",
        )
        task_headers.connect()
        copies.register("history", history_copies)
        copies.register("evidence", evidence_copies)
        key_uses.register("blocks", blocks_signed)
        finding.register(HISTORY, HistoryRows())
