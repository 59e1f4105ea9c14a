"""The console's own tables in the audit: their rows are shown to those who may see the objects.

Nothing of them is put back here: a policy, a hold or a user is changed by its own pages, with the
approvals that these ask for.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User

from auditing.models import TrackedTable
from auditing.selectors.log_filter import OWN


def is_own(tracked: TrackedTable) -> bool:
    return tracked.schema_name == OWN


def may_see_rows(user: User | AnonymousUser, tracked: TrackedTable) -> bool:
    """Of an application's table everybody who sees the audit; of an own one, as of its objects."""
    if not is_own(tracked):
        return True
    models = apps.get_models(include_auto_created=True)
    model = next((m for m in models if m._meta.db_table == tracked.table_name), None)
    if model is None:
        return user.is_superuser
    return user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


def may_put_back(user: User | AnonymousUser, tracked: TrackedTable) -> bool:
    """Restore and revert its rows. Without an audit a restore would leave no version."""
    return bool(
        user.has_perm("auditing.restore_version")
        and tracked.untracked_at is None
        and not is_own(tracked)
    )
