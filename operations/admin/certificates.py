"""Certificates: what was certified, whether it is still what was signed, and its files."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString
from django.views.generic import View

from operations.admin.base import ReadOnlyAdmin
from operations.admin.document import sections
from operations.admin.show import NOTHING, Fact, code, digest, link, when
from operations.models import Certificate
from operations.selectors.certificates import certificate_check
from operations.storage import StorageError, storage

_FILES = {"pdf": ("pdf_path", "application/pdf"), "json": ("json_path", "application/json")}


class CertificateFileView(View):
    """Streams the PDF or the signed JSON from the storage."""

    http_method_names = ("get", "head", "options")
    model_admin: Any = None

    def get(self, request: HttpRequest, pk: int, form: str, **kwargs: Any) -> HttpResponse:
        if not self.model_admin.has_view_permission(request):
            raise PermissionDenied
        certificate = Certificate.objects.filter(pk=pk).first()
        if certificate is None or form not in _FILES:
            raise Http404
        field, kind = _FILES[form]
        try:
            file = storage().open(getattr(certificate, field))
        except StorageError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:operations_certificate_change", args=[pk]))
        return FileResponse(  # type: ignore[return-value]
            file, as_attachment=True, filename=f"{certificate.number}.{form}", content_type=kind
        )


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin):
    page_template = "operations/certificate.html"
    page_related = ("run", "key")
    payload = ("body", "signature", "json_path", "pdf_path")
    list_display = ("number", "subject", "kind_shown", "of_run", "issued")
    list_select_related: ClassVar = ["run"]
    list_filter = ("kind",)
    search_fields = ("number", "subject")

    @admin.display(description="Kind", ordering="kind")
    def kind_shown(self, certificate: Certificate) -> str:
        return certificate.kind.replace("_", " ").capitalize()

    @admin.display(description="Run")
    def of_run(self, certificate: Certificate) -> SafeString | str:
        return _run(certificate)

    @admin.display(description="Issued", ordering="issued_at")
    def issued(self, certificate: Certificate) -> SafeString | str:
        return when(certificate.issued_at)

    def page(self, request: HttpRequest, obj: Certificate) -> dict[str, Any]:
        body = obj.body.get("body", {}) if isinstance(obj.body, dict) else {}
        return {
            "certificate": obj,
            "check": certificate_check(obj),
            "statement": body.get("statement", ""),
            "facts": [
                Fact("Number", obj.number),
                Fact("Kind", self.kind_shown(obj)),
                Fact("Subject", obj.subject),
                Fact("Issued", when(obj.issued_at)),
                Fact("Run", _run(obj)),
                Fact("Signed with", link(obj.key, "operations_signingkey_change", obj.key_id)),
                Fact("Signature", digest(obj.signature), "Ed25519"),
                Fact("On the command line", code(f"manage.py certificate_verify {obj.number}")),
            ],
            "sections": sections({k: v for k, v in body.items() if k != "statement"}),
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("<int:pk>/file/<slug:form>/", CertificateFileView, "file"),
            *super().get_urls(),
        ]


def _run(certificate: Certificate) -> SafeString | str:
    if certificate.run is None:
        return NOTHING
    return link(certificate.run, "operations_run_change", certificate.run.pk)
