"""What somebody looks for in the audit log: a table, a person, a time, a word of the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from auditing.models import ChangeContext, TrackedTable

OWN = "custody"
"""The schema of the console's own tables."""
KINDS = ("console:", "app:", "db:")


@dataclass(frozen=True)
class LogFilter:
    """Everything that is given must be so; what is empty counts for nothing."""

    table: str = ""
    """As TrackedTable prints it: `shop.orders`."""
    without_own: bool = False
    """The console's own tables are left out, which change with everything that it does."""
    operation: str = ""
    user: str = ""
    """An actor (`app:4711`), what stands after its colon, or an address."""
    actor: str = ""
    """Exactly this one."""
    since: datetime | None = None
    until: datetime | None = None
    request_id: str = ""
    reason: str = ""
    """Words that the reason has, each perhaps only begun."""

    @property
    def by_context(self) -> bool:
        return bool(self.request_id or self.reason)


def tracked_named(table: str) -> list[int]:
    """The ids under which a table is or was audited: it may have been given up and begun again."""
    return [each.pk for each in TrackedTable.objects.all() if str(each) == table]


def tracked_of_applications() -> list[int]:
    """The ids of every table that is none of the console's own."""
    return list(TrackedTable.objects.exclude(schema_name=OWN).values_list("pk", flat=True))


def own_are_tracked() -> bool:
    return TrackedTable.objects.filter(schema_name=OWN).exists()


def actors_named(user: str) -> list[str]:
    """Actors that the text may mean; also those who lately had it as their address."""
    user = user.strip()
    exact = [user] if user.startswith(KINDS) else [user, *(kind + user for kind in KINDS)]
    lately = ChangeContext.objects.filter(user_email=user).exclude(user_email="").order_by("-id")
    return list(dict.fromkeys([*exact, *lately.values_list("actor", flat=True)[:200]]))
