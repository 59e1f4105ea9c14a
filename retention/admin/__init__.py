"""The admin pages of retention. Importing this registers them."""

from operations.admin.run_presenting import register_presenter
from retention.admin import archives, holds, policies
from retention.admin.archive_runs import ExpiryPresenter, RestorePresenter
from retention.admin.policy_waiting import PolicyChangePresenter
from retention.admin.purges import PurgePresenter
from retention.selectors.policies import POLICY_CHANGE

__all__ = ["archives", "holds", "policies"]

register_presenter("purge", PurgePresenter())
register_presenter("archive_restore", RestorePresenter())
register_presenter("archive_expire", ExpiryPresenter())
register_presenter(POLICY_CHANGE, PolicyChangePresenter())
