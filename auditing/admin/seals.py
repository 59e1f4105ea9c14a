"""Seals: is the log sealed and proved? Its blocks, and each of them in words."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from auditing.admin.evidence import EvidenceFileView, EvidenceView
from auditing.admin.record import EXPORT
from auditing.admin.seal_actions import SEAL, VERIFY, SealNowView, VerifyView
from auditing.admin.seal_words import Sources, finding_line, sections_of, state_facts
from auditing.exceptions import AnchorUnusable
from auditing.models import SealBlock, SealPosition, VerifyFinding
from auditing.seal_answer import answer
from auditing.seals.headers import FIRST, header_read
from auditing.services.anchor_find import anchor_of
from auditing.services.audit_verify import AUDIT_VERIFY
from auditing.services.seal_state import seal_state
from operations import keys
from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import NOTHING, Fact, badge, digest, link, number, when, when_text
from operations.certificates.canonical import NotCanonical
from operations.models import Run, SigningKey

BLOCKS_A_PAGE = 50
FINDINGS_A_PAGE = 100
_DIGITS = 18


def number_given(text: str) -> int | None:
    """Of the address; None of nonsense."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


@admin.register(SealBlock)
class SealBlockAdmin(ReadOnlyAdmin):
    page_template = "auditing/block.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        before = number_given(request.GET.get("before", ""))
        blocks = SealBlock.objects.only("number", "header", "key_id", "leaves", "made_at")
        if before is not None:
            blocks = blocks.filter(number__lt=before)
        found = list(blocks.order_by("-number")[: BLOCKS_A_PAGE + 1])
        shown, sources = found[:BLOCKS_A_PAGE], Sources()
        state = seal_state()
        headline, told = answer(state)
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "auditing/seals.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Seals",
                "before": before,
                "level": state.level,
                "headline": headline,
                "told": told,
                "facts": state_facts(state),
                "findings_url": _findings_url(state.verification.run.pk)
                if state.verification is not None and state.verification.findings
                else "",
                "blocks": [_line(block, sources) for block in shown],
                "older": shown[-1].pk if len(found) > BLOCKS_A_PAGE else None,
                "may_seal": request.user.has_perm(SEAL),
                "may_verify": request.user.has_perm(VERIFY),
                "may_export": request.user.has_perm(EXPORT),
                **(extra_context or {}),
            },
        )

    def page(self, request: HttpRequest, obj: SealBlock) -> dict[str, Any]:
        sources = Sources()
        wrong = block_wrong(obj)
        return {
            "block": obj,
            "badges": [badge("Not as signed", "danger") if wrong else badge("Valid", "success")],
            "notice": wrong,
            "notice_title": "This block is not what was signed" if wrong else "",
            "notice_kind": "danger",
            "facts": _facts(obj),
            "anchor": _anchor_facts(obj),
            "sections": [
                {
                    "name": sources.name(each["source"], each["form"]),
                    "url": _table_url(sources, each["source"]),
                    "rows": number(each["leaves"]),
                }
                for each in sections_of(obj.header)
            ],
            "older": obj.number - 1 if obj.number > 1 else None,
            "newer": obj.number + 1
            if SealBlock.objects.filter(pk=obj.number + 1).exists()
            else None,
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("seal/", SealNowView, "seal"),
            self.at("verify/", VerifyView, "verify"),
            self.at("evidence/", EvidenceView, "evidence"),
            self.at("evidence/<int:run_id>/file/", EvidenceFileView, "evidence_file"),
            self.at("findings/<int:run_id>/", FindingsView, "findings"),
            *super().get_urls(),
        ]


class FindingsView(UnfoldModelAdminViewMixin, TemplateView):
    """What one verification found, in the order in which it found it."""

    template_name = "auditing/findings.html"
    raise_exception = True
    model_admin: SealBlockAdmin

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        run = Run.objects.filter(pk=self.kwargs["run_id"], kind=AUDIT_VERIFY).first()
        if run is None:
            raise Http404("There is no such verification.")
        after = number_given(self.request.GET.get("after", "")) or 0
        rows = VerifyFinding.objects.filter(run_id=run.pk, pk__gt=after)
        found = list(rows.select_related("tracked").order_by("id")[: FINDINGS_A_PAGE + 1])
        shown = found[:FINDINGS_A_PAGE]
        self.title = f"What run {run.pk} found"
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=self.title,
            run=run,
            findings=[finding_line(each, self.request.user) for each in shown],
            after=after,
            more=shown[-1].pk if len(found) > FINDINGS_A_PAGE else None,
        )


def block_wrong(block: SealBlock) -> str:
    """What of the block is not as it was signed, in a sentence; empty when all is."""
    try:
        header = header_read(block.header)
    except NotCanonical as error:
        return f"Its header was changed. {error}"
    if header.hash != block.hash:
        return "Its hash is not that of its header."
    if not keys.verify(header.signed, block.signature, block.key_id):
        return "Its signature does not fit its header, or the key that signed it is not known."
    if header.number != block.number or header.leaves != block.leaves:
        return "Its header is of another block."
    previous = SealBlock.objects.filter(pk=block.number - 1).values_list("hash", flat=True).first()
    if (previous or (FIRST if block.number == 1 else None)) != header.previous:
        return f"Block {block.number - 1} is not the one that this block was chained to."
    return ""


def _line(block: SealBlock, sources: Sources) -> dict[str, Any]:
    return {
        "name": str(block),
        "url": reverse("admin:auditing_sealblock_change", args=[block.pk]),
        "at": when(block.made_at),
        "rows": number(block.leaves),
        "covers": sources.covered(block.header),
        "key": block.key_id,
    }


def _facts(block: SealBlock) -> list[Fact]:
    key = SigningKey.objects.filter(key_id=block.key_id).first()
    previous = NOTHING
    try:
        header = header_read(block.header)
        previous = "none: it is the first" if header.previous == FIRST else digest(header.previous)
        covers = (
            "with those before it, everything that had committed by then"
            if header.covers
            else "a part of what had committed; the next ones seal the rest"
        )
    except NotCanonical:
        covers = NOTHING
    return [
        Fact("Sealed", when(block.made_at)),
        Fact("Rows", number(block.leaves)),
        Fact("Seals", covers),
        Fact("Hash", digest(block.hash), "SHA-256 of its header"),
        Fact("Hash of the block before", previous, "in its header: so the blocks are a chain"),
        Fact(
            "Signed with",
            link(key, "operations_signingkey_change", key.pk) if key else block.key_id,
            "checked each time this page is shown",
        ),
        Fact("Signature", digest(block.signature), "Ed25519"),
    ]


def _anchor_facts(block: SealBlock) -> list[Fact]:
    """Of the anchor that names it, or of the first after it, which covers it by the chain."""
    position = SealPosition.objects.first()
    if position is None:
        return []
    try:
        found = anchor_of(position.chain, block)
    except AnchorUnusable as error:
        return [Fact("Anchor", "cannot be read", str(error))]
    if found is None:
        return [Fact("Anchor", "none yet", "written at the end of the pass")]
    anchor = found.anchor
    exactly = anchor.number == block.number
    facts = [
        Fact("Anchored", when_text(anchor.at)),
        Fact("Where", found.where),
    ]
    if exactly:
        same = anchor.hash == block.hash
        told = badge("The same hash", "success") if same else badge("Another hash", "danger")
        return [*facts, Fact("It says", told)]
    through = link(f"Block {anchor.number}", "auditing_sealblock_change", anchor.number)
    return [*facts, Fact("Through", through, "the chain leads from there to this block")]


def _table_url(sources: Sources, source: str) -> str:
    tracked = sources.table(source)
    if tracked is None:
        return ""
    return reverse("admin:auditing_trackedtable_change", args=[tracked.pk])


def _findings_url(run_id: int) -> str:
    return reverse("admin:auditing_sealblock_findings", args=[run_id])
