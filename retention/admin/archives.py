"""Archives: what purges wrote before they deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import Fact, badge, code, digest, link, number, size, when
from operations.catalogue.types import TableName
from operations.encryption import unreadable
from operations.models import Certificate
from operations.storage import storage
from retention.admin.archive_keep import KEEP, ArchiveKeepView
from retention.admin.archive_restore import RESTORE, ArchiveRestoreView
from retention.admin.archive_search import ArchiveSearchView
from retention.admin.hold_facts import hold_facts
from retention.models import Archive, ArchivePart

PARTS_A_PAGE = 50


class TermFilter(admin.SimpleListFilter):
    title = "term"
    parameter_name = "term"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("over", "Over"),
            ("soon", "Over within 30 days"),
            ("later", "Later"),
            ("never", "For ever"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Archive]) -> QuerySet[Archive]:
        now = timezone.now()
        soon = now + timedelta(days=30)
        terms = {
            "over": Q(expires_at__lte=now),
            "soon": Q(expires_at__gt=now, expires_at__lte=soon),
            "later": Q(expires_at__gt=soon),
            "never": Q(expires_at=None),
        }
        asked = self.value()
        if asked not in terms:
            return queryset
        return queryset.filter(terms[asked], state=Archive.State.COMPLETE)


@admin.register(Archive)
class ArchiveAdmin(ReadOnlyAdmin):
    page_template = "retention/archive.html"
    page_related = ("policy", "run", "root", "destroyed_by")
    payload = ("layout",)
    list_display = ("name", "table", "of_policy", "rows_shown", "size_shown", "state_shown",
                    "completed", "expires")  # fmt: skip
    list_select_related: ClassVar = ["policy"]
    list_filter = ("state", TermFilter)
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
        if archive.destroyed_at is not None:
            return when(archive.destroyed_at)
        return when(archive.expires_at, empty="for ever")

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("<int:pk>/rows/", ArchiveSearchView, "rows"),
            self.at("<int:pk>/restore/", ArchiveRestoreView, "restore"),
            self.at("<int:pk>/keep/", ArchiveKeepView, "keep"),
            *super().get_urls(),
        ]

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
            "readable": obj.state != Archive.State.DESTROYED,
            "may_restore": obj.state == Archive.State.COMPLETE and request.user.has_perm(RESTORE),
            "may_keep": obj.state == Archive.State.COMPLETE
            and obj.expires_at is not None
            and request.user.has_perm(KEEP),
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
            *_term(archive),
            *_family(archive),
            Fact("Manifest", digest(archive.manifest_sha256), "SHA-256"),
            Fact("Where", code(storage().location(archive.folder))),
            Fact("On the command line", code(f"manage.py archive_verify {archive.name}")),
        ]
        sees = request.user.has_perm("operations.view_certificate")
        runs = [archive.run_id, *filter(None, [archive.destroyed_by_id])]
        for each in Certificate.objects.filter(run_id__in=runs).defer("body"):
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
    if archive.state == Archive.State.COMPLETE and is_over(archive):
        return badge("Term is over", "warning")
    colours = {Archive.State.COMPLETE: "success", Archive.State.OPEN: "info"}
    return badge(archive.get_state_display(), colours.get(Archive.State(archive.state), ""))


def is_over(archive: Archive) -> bool:
    return archive.expires_at is not None and archive.expires_at <= timezone.now()


def _term(archive: Archive) -> list[Fact]:
    if archive.destroyed_at is not None:
        facts = [Fact("Destroyed", when(archive.destroyed_at), "only a proof is left of its files")]
        run = archive.destroyed_by
        if run is not None:
            facts.append(Fact("Destroyed by", link(run, "operations_run_change", run.pk)))
        return facts
    hint = "its term is over: the next expiry destroys it" if is_over(archive) else ""
    return [
        Fact("Kept until", when(archive.expires_at, empty="for ever"), hint),
        Fact("Locked until", when(archive.locked_until, empty="not locked"), "in the storage"),
        Fact("Encrypted", *_encrypted(archive)),
    ]


def _family(archive: Archive) -> list[Fact]:
    """The archive that its rows went along with, or those of what went along with its rows."""
    if archive.root is not None:
        root = link(archive.root.name, "retention_archive_change", archive.root_id)
        return [Fact("Went along with", root)]
    return [
        Fact(
            "What went along",
            link(each.name, "retention_archive_change", each.pk),
            f"{each.rows:,} rows of {each.schema_name}.{each.table_name}",
        )
        for each in archive.dependents.defer("layout").order_by("id")
    ]
