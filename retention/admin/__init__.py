"""The admin pages of retention. Importing this registers them."""

from auditing.admin.record_more import register as register_record_more
from operations.admin.run_presenting import register_presenter
from retention.admin import archives, deletions, holds, policies, softdelete_tables
from retention.admin.archive_runs import ExpiryPresenter, RestorePresenter
from retention.admin.deletion_purge_now import DeletionPurgePresenter
from retention.admin.deletion_record import bin_of_record
from retention.admin.policy_waiting import PolicyChangePresenter
from retention.admin.purges import PurgePresenter
from retention.admin.softdelete_plan_page import SoftDeleteChangePresenter
from retention.selectors.policies import POLICY_CHANGE
from retention.services.deletion_purge import DELETION_PURGE
from retention.services.softdelete_change import SOFTDELETE_CHANGE

__all__ = ["archives", "deletions", "holds", "policies", "softdelete_tables"]

register_presenter("purge", PurgePresenter())
register_presenter(DELETION_PURGE, DeletionPurgePresenter())
register_presenter("archive_restore", RestorePresenter())
register_presenter("archive_expire", ExpiryPresenter())
register_presenter(POLICY_CHANGE, PolicyChangePresenter())
register_presenter(SOFTDELETE_CHANGE, SoftDeleteChangePresenter())
register_record_more("bin", bin_of_record)
