"""The admin pages of auditing. Importing this registers them."""

from auditing.admin import log, seals, tracked
from auditing.admin.proof_runs import EvidencePresenter, RedactPresenter, VerifyPresenter
from auditing.admin.run_words import BaselinePresenter, RevertPresenter
from auditing.services.audit_redact import AUDIT_REDACT
from auditing.services.audit_verify import AUDIT_VERIFY
from auditing.services.baseline import AUDIT_BASELINE
from auditing.services.change_revert import CHANGE_REVERT
from auditing.services.evidence_export import EVIDENCE_EXPORT
from operations.admin.run_presenting import register_presenter

__all__ = ["log", "seals", "tracked"]

register_presenter(AUDIT_BASELINE, BaselinePresenter())
register_presenter(CHANGE_REVERT, RevertPresenter())
register_presenter(AUDIT_VERIFY, VerifyPresenter())
register_presenter(AUDIT_REDACT, RedactPresenter())
register_presenter(EVIDENCE_EXPORT, EvidencePresenter())
