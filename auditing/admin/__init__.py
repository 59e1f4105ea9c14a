"""The admin pages of auditing. Importing this registers them."""

from auditing.admin import log, tracked
from auditing.admin.run_words import BaselinePresenter, RevertPresenter
from auditing.services.baseline import AUDIT_BASELINE
from auditing.services.change_revert import CHANGE_REVERT
from operations.admin.run_presenting import register_presenter

__all__ = ["log", "tracked"]

register_presenter(AUDIT_BASELINE, BaselinePresenter())
register_presenter(CHANGE_REVERT, RevertPresenter())
