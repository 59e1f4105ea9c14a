"""What verifications, redactions and exports of evidence have to say on the page of their run."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from auditing.admin.seal_words import finding_line
from auditing.models import TrackedTable, VerifyFinding
from operations.admin.run_presenting import RunPresenter
from operations.admin.show import Fact, badge, code, digest, link, number, size, when_text
from operations.models import Run

NAMED = 20
"""Findings on the page of the run; the others are on one of their own."""


class VerifyPresenter(RunPresenter):
    def subject(self, run: Run) -> str | SafeString:
        return _table(run) or link("the audit log", "auditing_sealblock_changelist")

    def plan(self, run: Run) -> list[Fact]:
        plan = run.plan
        return [
            Fact("Of", "the whole log" if plan.get("table") == "all" else str(plan.get("table"))),
            Fact("Sealed since", when_text(plan.get("since"))),
            Fact("Blocks", number(plan.get("blocks"))),
            Fact("Rows sealed in them", number(plan.get("rows_sealed"))),
        ]

    def outcome(self, run: Run) -> list[Fact]:
        found = run.result
        count = found.get("findings", 0)
        shown: str | SafeString = badge("Nothing was altered, removed or added", "success")
        if count:
            page = reverse("admin:auditing_sealblock_findings", args=[run.pk])
            told = badge(f"{count:,} not as sealed", "danger")
            shown = format_html('{} <a href="{}">What it found</a>', told, page)
        facts = [
            Fact("Found", shown),
            Fact("Blocks", number(found.get("blocks"))),
            Fact("Rows compared", number(found.get("checked"))),
        ]
        named = [
            ("pending", "Not sealed yet", "rows; beat seals them within half a minute"),
            ("retired", "Retired", "sealed rows that went at the end of their term, certified"),
            ("unproved", "Taken away without a certificate yet", "by runs that are not over"),
        ]
        return facts + [
            Fact(label, number(found[key]), hint) for key, label, hint in named if found.get(key)
        ]

    def details(self, run: Run) -> SafeString:
        rows = VerifyFinding.objects.filter(run_id=run.pk).select_related("tracked").order_by("id")
        found = list(rows[:NAMED])
        if not found:
            return SafeString("")
        # Records of the console's own tables are named to nobody here: each page asks by itself.
        findings = [finding_line(each, AnonymousUser()) for each in found]
        return render_to_string(
            "auditing/run_findings.html",
            {
                "findings": findings,
                "url": reverse("admin:auditing_sealblock_findings", args=[run.pk]),
            },
        )


class RedactPresenter(RunPresenter):
    def subject(self, run: Run) -> str | SafeString:
        return _table(run) or run.subject

    def plan(self, run: Run) -> list[Fact]:
        return redact_facts(run.plan)

    def warnings(self, run: Run) -> list[str]:
        return list(run.plan.get("cautions", ()))

    def outcome(self, run: Run) -> list[Fact]:
        found = run.result
        space = found.get("space", {})
        facts = [
            Fact("Values destroyed", number(found.get("values"))),
            Fact("In versions", number(found.get("versions"))),
        ]
        facts += [Fact("Elsewhere", _told(each)) for each in found.get("elsewhere", ())]
        return facts + [Fact("Still to do", each) for each in space.get("left", ())]


def redact_facts(plan: dict[str, Any]) -> list[Fact]:
    """The plan of a redaction, asked for or still to be asked for."""
    facts = [
        Fact("Table", str(plan.get("table", ""))),
        Fact("Columns", ", ".join(plan.get("columns", ()))),
        Fact("Records", number(plan.get("records")), str(plan.get("chosen_by", ""))),
        Fact("Versions with a value", number(plan.get("versions"))),
        Fact("From", _months(plan.get("months", []))),
    ]
    if plan.get("under_other_keys"):
        facts.append(Fact("Under other keys too", ", ".join(plan["under_other_keys"])))
    facts += [Fact("Elsewhere", str(each)) for each in plan.get("elsewhere", ())]
    if plan.get("vacuum_full"):
        facts.append(Fact("Written anew", "the months of the history, each locked meanwhile"))
    return [*facts, Fact("Holds", "none is in the way", "asked again in every step")]


def _months(months: list[str]) -> str:
    if not months:
        return "no version"
    return months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"


def _told(each: Any) -> str:
    if isinstance(each, dict):
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in each.items())
    return str(each)


class EvidencePresenter(RunPresenter):
    def plan(self, run: Run) -> list[Fact]:
        plan = run.plan
        facts = [Fact("Tables", ", ".join(plan.get("tables", ())))]
        if plan.get("record"):
            facts.append(Fact("Record", code(plan["record"])))
        return [
            *facts,
            Fact("From", when_text(plan.get("from")) if plan.get("from") else "the beginning"),
            Fact("To", when_text(plan.get("to")) if plan.get("to") else "now"),
        ]

    def outcome(self, run: Run) -> list[Fact]:
        found = run.result
        facts = [
            Fact("Versions", number(found.get("versions"))),
            Fact("Blocks", number(found.get("blocks"))),
            Fact("SHA-256", digest(found.get("sha256", ""))),
        ]
        if found.get("file"):
            page = reverse("admin:auditing_sealblock_evidence_file", args=[run.pk])
            download = format_html('<a href="{}">Fetch the zip</a>', page)
            facts.insert(0, Fact("Evidence", download, size(found.get("bytes"))))
            facts.append(Fact("Kept until", when_text(found.get("kept_until"))))
        elif found.get("fetched"):
            facts.append(Fact("Evidence", "was fetched; none is in the storage"))
        return facts + [Fact("Not as sealed", each) for each in found.get("altered", ())]


def _table(run: Run) -> SafeString | None:
    tracked = TrackedTable.objects.filter(pk=run.parameters.get("tracked") or 0).first()
    if tracked is None:
        return None
    return link(tracked, "auditing_trackedtable_change", tracked.pk)
