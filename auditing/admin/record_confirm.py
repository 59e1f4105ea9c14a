"""What is done to one record, confirmed: whose record it is, and who may."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import PermissionDenied

from auditing.admin.own import may_see_rows
from auditing.admin.record_links import record_id_of, record_url
from auditing.models import TrackedTable
from operations.admin.confirm import ConfirmView


class RecordConfirmView(ConfirmView):
    """Subclasses say which permission they want, beside that to see the record's rows."""

    permission: ClassVar[str]
    record_id: str

    def has_permission(self) -> bool:
        return bool(
            self.model_admin.has_view_permission(self.request)
            and self.request.user.has_perm(self.permission)
        )

    def find(self) -> TrackedTable | None:
        self.record_id = record_id_of(self.kwargs["slug"])
        found = TrackedTable.objects.filter(pk=self.kwargs["pk"]).first()
        if found is not None and not may_see_rows(self.request.user, found):
            raise PermissionDenied
        return found

    def back(self) -> str:
        return record_url(self.kwargs["pk"], record_id_of(self.kwargs["slug"]))
