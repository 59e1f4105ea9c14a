"""What somebody looks for in the audit log: a table, a person, a time, a word of the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.postgres.search import SearchQuery

from auditing.models import ChangeContext, TrackedTable
from auditing.models.change import reason_words

MOST_CONTEXTS = 2_000
"""Contexts by request or reason that one page of the log looks at."""
KINDS = ("console:", "app:", "db:")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class LogFilter:
    """Everything that is given must be so; what is empty counts for nothing."""

    table: str = ""
    """As TrackedTable prints it: `shop.orders`."""
    operation: str = ""
    user: str = ""
    """An actor (`app:4711`), what stands after its colon, or an address."""
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


def contexts_found(asked: LogFilter, *, not_after: int | None) -> list[int]:
    """Ids of contexts with that request id and reason, newest first, at most `MOST_CONTEXTS`."""
    found = ChangeContext.objects.order_by("-id")
    if asked.request_id:
        found = found.filter(request_id=asked.request_id).exclude(request_id="")
    if asked.reason:
        words = _WORD.findall(asked.reason.lower())
        if not words:
            return []
        found = found.exclude(reason="").annotate(words=reason_words()).filter(words=_query(words))
    if not_after is not None:
        found = found.filter(id__lte=not_after)
    return list(found.values_list("id", flat=True)[:MOST_CONTEXTS])


def _query(words: Iterable[str]) -> SearchQuery:
    text = " & ".join(f"'{word}':*" for word in words)
    return SearchQuery(text, config="simple", search_type="raw")
