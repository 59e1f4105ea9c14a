"""Archives: what purges wrote before they deleted."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import Fact, badge, code, digest, link, number, size, when
from operations.catalogue.types import TableName
from operations.encryption import unreadable
from operations.models import Certificate
from operations.storage import storage
from retention.admin.hold_facts import hold_facts
from retention.models import Archive, ArchivePart

PARTS_A_PAGE = 50


@admin.register(Archive)
class ArchiveAdmin(ReadOnlyAdmin):
    page_template = "retention/archive.html"
    page_related = ("policy", "run")
    payload = ("layout",)
    list_display = ("name", "table", "of_policy", "rows_shown", "size_shown", "state_shown",
                    "completed", "expires")  # fmt: skip
    list_select_related: ClassVar = ["policy"]
    list_filter = ("state",)
    search_fields = ("name", "schema_name", "table_name")
    search_help_text = "Its name, or its table"

    @admin.display(description="Table", ordering="table_name")
    def table(self, archive: Archive) -> SafeString | str:
        return code(f"{archive.schema_name}.{archive.table_name}")

    @admin.display(description="Policy", ordering="policy__name")
    def of_policy(self, archive: Archive) -> SafeString:
        return link(archive.policy.name, "retention_retentionpolicy_change", archive.policy_id)

    @admin.display(description="Rows", ordering="rows")
    def rows_shown(self, archive: Archive) -> str:
        return number(archive.rows)

    @admin.display(description="Size", ordering="bytes")
    def size_shown(self, archive: Archive) -> str:
        return size(archive.bytes)

    @admin.display(description="State", ordering="state")
    def state_shown(self, archive: Archive) -> SafeString:
        return archive_badge(archive)

    @admin.display(description="Complete", ordering="completed_at")
    def completed(self, archive: Archive) -> SafeString | str:
        return when(archive.completed_at, empty="not yet")

    @admin.display(description="Kept until", ordering="expires_at")
    def expires(self, archive: Archive) -> SafeString | str:
        return when(archive.expires_at, empty="for ever")

    def page(self, request: HttpRequest, obj: Archive) -> dict[str, Any]:
        paginator = Paginator(obj.parts.order_by("number").defer("window"), PARTS_A_PAGE)
        parts = paginator.get_page(request.GET.get("parts"))
        return {
            "archive": obj,
            "badges": [archive_badge(obj)],
            "facts": self._facts(request, obj),
            "columns": [
                (column.get("name", ""), column.get("type", ""))
                for column in obj.layout.get("columns", [])
                if isinstance(column, dict)
            ],
            "parts": parts,
            "shown_parts": [_part(part) for part in parts],
            "part_count": paginator.count,
        }

    def _facts(self, request: HttpRequest, archive: Archive) -> list[Fact]:
        facts = [
            Fact("Table", code(f"{archive.schema_name}.{archive.table_name}")),
            Fact(
                "Policy",
                link(archive.policy.name, "retention_retentionpolicy_change", archive.policy_id),
                f"version {archive.policy_version} at the time",
            ),
            Fact("Run", link(archive.run, "operations_run_change", archive.run_id)),
            Fact("Rows", number(archive.rows)),
            Fact("Size", size(archive.bytes), "compressed, as stored"),
            Fact("Complete", when(archive.completed_at, empty="not yet")),
            Fact("Kept until", when(archive.expires_at, empty="for ever")),
            Fact("Locked until", when(archive.locked_until, empty="not locked"), "in the storage"),
            Fact("Encrypted", *_encrypted(archive)),
            Fact("Manifest", digest(archive.manifest_sha256), "SHA-256"),
            Fact("Where", code(storage().location(archive.folder))),
            Fact("On the command line", code(f"manage.py archive_verify {archive.name}")),
        ]
        sees = request.user.has_perm("operations.view_certificate")
        for each in Certificate.objects.filter(run_id=archive.run_id).defer("body"):
            shown = link(each.number, "operations_certificate_change", each.pk)
            facts.insert(3, Fact("Certificate", shown if sees else each.number))
        table = TableName(archive.schema_name, archive.table_name)
        return facts + hold_facts(table, request.user, using=archive.policy.database)


def _encrypted(archive: Archive) -> tuple[SafeString | str, str]:
    if not archive.recipients:
        return "no", ""
    held = "can be read here" if not unreadable(archive.recipients) else "cannot be read here"
    return code(", ".join(archive.recipients)), held


def _part(part: ArchivePart) -> dict[str, Any]:
    return {
        "number": part.number,
        "table": code(part.table_name),
        "rows": number(part.rows),
        "size": size(part.bytes),
        "plain": size(part.plain_bytes),
        "digest": digest(part.sha256),
    }


def archive_badge(archive: Archive) -> SafeString:
    complete = archive.state == Archive.State.COMPLETE
    return badge(archive.get_state_display(), "success" if complete else "info")
