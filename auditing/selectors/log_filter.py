"""What somebody looks for in the audit log: a table, a person, a time, a word of the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from auditing.models import ChangeContext, TrackedTable

KINDS = ("console:", "app:", "db:")


@dataclass(frozen=True)
class LogFilter:
    """Everything that is given must be so; what is empty counts for nothing."""

    table: str = ""
    """As TrackedTable prints it: `shop.orders`."""
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


def actors_named(user: str) -> list[str]:
    """Actors that the text may mean; also those who lately had it as their address."""
    user = user.strip()
    exact = [user] if user.startswith(KINDS) else [user, *(kind + user for kind in KINDS)]
    lately = ChangeContext.objects.filter(user_email=user).exclude(user_email="").order_by("-id")
    return list(dict.fromkeys([*exact, *lately.values_list("actor", flat=True)[:200]]))
