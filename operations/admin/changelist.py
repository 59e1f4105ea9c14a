"""Lists that stay fast however long they grow: no count(*) over a whole table."""

from __future__ import annotations

from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.views import ChangeList

COUNTED = 10_000
"""Rows up to which a list is counted and can be paged; further ones are found by filters."""


class BoundedPaginator(Paginator):
    """Counts at most `COUNTED` rows, so that the last page costs what the first one does."""

    template_name = "custody/pagination.html"

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:COUNTED].count()

    @property
    def is_full(self) -> bool:
        """There may be more rows than are counted."""
        return self.count >= COUNTED


class BoundedChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            # Nothing is filtered away: the header need not offer to show all.
            self.full_result_count: Any = self.result_count
