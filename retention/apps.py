from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "retention"
    verbose_name = "Retention"
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "officer": [
            "view_*",
            "propose_retentionpolicy",
            "place_legalhold",
            "release_legalhold",
            "search_archive",
            "restore_archive",
            "keep_archive",
            "delete_record",
            "restore_record",
            "purge_record",
        ],
        "support": [
            "view_retentionpolicy",
            "view_archive",
            "view_archivepart",
            "search_archive",
            "restore_archive",
            "view_legalhold",
            "view_holdscope",
            "view_heldrow",
            "view_softdeletetable",
            "view_deletion",
            "view_deletiontable",
            "view_severedreference",
            "delete_record",
            "restore_record",
        ],
        "operator": ["view_*", "enable_softdelete"],
        "auditor": ["view_*"],
    }

    def ready(self) -> None:
        # Registers the kinds of run.
        from auditing import redactions
        from operations import finding, vetoes
        from retention.selectors.find_bin import BIN, BinRows
        from retention.selectors.find_holds import Holds
        from retention.selectors.holds import VETO, HoldVeto
        from retention.services import (  # noqa: F401
            archive_expire,
            archive_restore,
            deletion_purge,
            policy_change_run,
            purge,
            softdelete_change,
        )
        from retention.services.archive_redact import ArchivesOfHistory
        from retention.services.find_archives import ARCHIVE, ArchivedRows

        vetoes.register(VETO, HoldVeto())
        redactions.register("archives", ArchivesOfHistory())
        finding.register(BIN, BinRows())
        finding.register(ARCHIVE, ArchivedRows())
        finding.register(VETO, Holds())
