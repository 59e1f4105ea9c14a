"""The admin pages of retention. Importing this registers them."""

from operations.admin.run_presenting import register_presenter
from retention.admin import archives, holds, policies
from retention.admin.purges import PurgePresenter

__all__ = ["archives", "holds", "policies"]

register_presenter("purge", PurgePresenter())
