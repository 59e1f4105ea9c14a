"""Every address of the admin, for everybody: a page without a permission check fails here.

A new page has to be entered below, with who may open it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from auditing.models import ChangeStatement, SealBlock, TrackedTable, VersionNote
from auditing.selectors.versions import versions_of
from auditing.services.audit_verify import AUDIT_VERIFY
from auditing.services.evidence_export import EVIDENCE_EXPORT
from operations.admin.run_decisions import DECISIONS
from operations.models import Run, SigningKey
from operations.runs.states import RunState
from retention.models import Deletion, SoftDeleteTable
from retention.selectors.policies import POLICY_CHANGE
from retention.services.policy_terms import PolicyTerms
from tests.console import (
    ROLES,
    Console,
    furnished,
    make_audited,
    make_run,
    person,
    signed_in,
)
from tests.retention.softdeleting import enable, soft_delete

pytestmark = pytest.mark.django_db

NOBODY: frozenset[str] = frozenset()
ALL = frozenset(ROLES)
WITHOUT_SUPPORT = ALL - {"support"}

MODELS = {
    "auditing_changestatement": ALL,
    "auditing_trackedtable": ALL,
    "auditing_sealblock": WITHOUT_SUPPORT,
    "operations_run": ALL,
    "operations_alert": WITHOUT_SUPPORT,
    "operations_certificate": WITHOUT_SUPPORT,
    "operations_signingkey": WITHOUT_SUPPORT,
    "retention_archive": ALL,
    "retention_retentionpolicy": ALL,
    "retention_legalhold": ALL,
    "retention_deletion": ALL,
    "retention_softdeletetable": ALL,
    "auth_user": frozenset({"auditor"}),
    "auth_group": frozenset({"auditor"}),
    "django_celery_beat_periodictask": WITHOUT_SUPPORT,
}
"""Who may look at the objects."""

LOOKING = ("changelist", "change", "history", "simple_history", "compare", "preview",
           "preview_run", "preview_draft", "progress", "file", "actor", "find", "find_key",
           "record", "record_compare", "findings")  # fmt: skip
CHANGING = ("add", "delete", "password_change")
ACTS = {
    "auditing_changestatement_revert": frozenset({"officer", "support"}),
    "auditing_changestatement_revert_transaction": frozenset({"officer", "support"}),
    "auditing_trackedtable_add": frozenset({"officer", "operator"}),
    "auditing_trackedtable_adjust": frozenset({"officer", "operator"}),
    "auditing_trackedtable_sync": frozenset({"officer", "operator"}),
    "auditing_trackedtable_untrack": frozenset({"officer", "operator"}),
    "auditing_trackedtable_record_restore": frozenset({"officer", "support"}),
    "auditing_trackedtable_record_note": frozenset({"officer", "support"}),
    "auditing_trackedtable_record_redact": frozenset({"officer"}),
    "auditing_sealblock_seal": frozenset({"operator"}),
    "auditing_sealblock_verify": frozenset({"officer", "operator"}),
    "auditing_sealblock_evidence": frozenset({"officer"}),
    "auditing_sealblock_evidence_file": frozenset({"officer"}),
    "operations_run_decide/approve": frozenset({"officer", "operator"}),
    "operations_run_decide/refuse": frozenset({"officer", "operator"}),
    "operations_run_decide/pause": frozenset({"operator"}),
    "operations_run_decide/resume": frozenset({"operator"}),
    "operations_run_decide/cancel": frozenset({"operator"}),
    "retention_archive_rows": ALL,
    "retention_archive_restore": frozenset({"officer", "support"}),
    "retention_archive_keep": frozenset({"officer"}),
    "retention_legalhold_table": frozenset({"officer"}),
    "retention_legalhold_place": frozenset({"officer"}),
    "retention_legalhold_say": frozenset({"officer"}),
    "retention_legalhold_release": frozenset({"officer"}),
    "retention_legalhold_review": frozenset({"officer"}),
    "retention_deletion_purge": frozenset({"officer"}),
    "retention_deletion_record": frozenset({"officer", "support"}),
    "retention_deletion_restore": frozenset({"officer", "support"}),
    "retention_softdeletetable_add": frozenset({"operator"}),
    "retention_softdeletetable_plan": frozenset({"operator"}),
    "retention_softdeletetable_disable": frozenset({"operator"}),
    "retention_retentionpolicy_run": frozenset({"operator", "officer"}),
    **{
        f"retention_retentionpolicy_{verb}": frozenset({"officer"})
        for verb in ("add", "propose", "withdraw", "review", "say", "restore")
    },
    "django_celery_beat_periodictask_time": frozenset({"operator"}),
    "django_celery_beat_periodictask_start": frozenset({"operator"}),
}
PROOFS = {
    "auditing_sealblock_findings": AUDIT_VERIFY,
    "auditing_sealblock_evidence_file": EVIDENCE_EXPORT,
}
"""Pages about a run of a kind."""
NOT_LISTED = {"operations_signingkey", "retention_softdeletetable"}
"""Reached from other pages."""
OWN = {"retention_retentionpolicy_preview_draft"}
"""What somebody began in their own session: nobody else finds it."""
FOR_ALL_WHO_SIGN_IN = {
    "index", "search", "logout", "password_change", "password_change_done", "jsi18n",
    "autocomplete", "view_on_site", "app_list", "login",
}  # fmt: skip


def patterns(found: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and route of every address below the admin site."""
    for each in found:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each.url_patterns, route)
        elif isinstance(each, URLPattern):
            yield each.name or "", route


def addresses(console: Console) -> Iterator[tuple[str, str]]:
    """Each address of the admin with real objects in it, under the name of what it is."""
    audited = ChangeStatement.objects.get()
    objects = {
        "auditing_changestatement": audited.pk,
        "auditing_trackedtable": audited.tracked_id,
        "auditing_sealblock": SealBlock.objects.get().pk,
        "operations_run": console.run.pk,
        "operations_alert": console.alert.pk,
        "operations_certificate": console.certificate.pk,
        "operations_signingkey": SigningKey.objects.get().pk,
        "retention_archive": console.archive.pk,
        "retention_retentionpolicy": console.policy.pk,
        "retention_legalhold": console.hold.pk,
        "retention_deletion": Deletion.objects.get().pk,
        "retention_softdeletetable": (governed := SoftDeleteTable.objects.get()).pk,
        "auth_user": console.requester.pk,
        "auth_group": Group.objects.get(name="officer").pk,
        "django_celery_beat_periodictask": PeriodicTask.objects.get(name="purge-nightly").pk,
    }
    first, last = versions_of(audited.tracked, "1").versions[::-1]
    queries = {
        "auditing_changestatement_actor": "?actor=app:4711",
        "auditing_trackedtable_record_compare": f"?old={first.seq}&new={last.seq}",
        "auditing_trackedtable_record_note": f"?version={first.seq}",
        "auditing_trackedtable_record_restore": f"?version={first.seq}",
    }
    for name, route in patterns(list(admin.site.get_urls())):
        if name == "operations_run_decide":
            for decision in DECISIONS:
                yield (
                    f"{name}/{decision}",
                    reverse(f"admin:{name}", args=[console.run.pk, decision]),
                )
        elif name == "retention_retentionpolicy_simple_history":
            version = console.policy.history.latest().pk
            yield name, reverse(f"admin:{name}", args=[console.policy.pk, version])
        elif name == "retention_retentionpolicy_preview_run":
            yield name, reverse(f"admin:{name}", args=[Run.objects.get(kind=POLICY_CHANGE).pk])
        elif name in PROOFS:
            yield name, reverse(f"admin:{name}", args=[Run.objects.get(kind=PROOFS[name]).pk])
        elif name == "app_list":
            yield name, reverse("admin:app_list", args=["operations"])
        elif name:
            pk = next((pk for model, pk in objects.items() if name.startswith(f"{model}_")), 1)
            path = re.sub(r"<(path:|int:)?\w*(id|pk)>", str(pk), route)
            path = re.sub(r"<\w+:version>", "1", path).replace("<slug:token>", "none")
            path = path.replace("<int:table>/<str:slug>", f"{governed.table_oid}/2")
            path = path.replace("<str:slug>", "1").replace("<int:xid>", str(audited.xid))
            yield name, "/admin/" + path.replace("<slug:form>", "pdf") + queries.get(name, "")


def status(response: Any) -> int:
    """Read to its end, since a file that is streamed stays open until then."""
    if response.streaming:
        response.getvalue()
    return int(response.status_code)


def who_may(name: str) -> frozenset[str] | None:
    """Roles; None for everybody who signs in. Fails for a page that nobody entered above."""
    if name in ACTS:
        return ACTS[name]
    if name in FOR_ALL_WHO_SIGN_IN:
        return None
    model = next((model for model in MODELS if name.startswith(f"{model}_")), "")
    verb = name.removeprefix(f"{model}_")
    known = bool(model) and verb in LOOKING + CHANGING
    assert known, f"Who may open {name}? Say it in this test."
    return MODELS[model] if verb in LOOKING else NOBODY


@pytest.fixture
def console() -> Console:
    made = furnished()
    change = make_run(made.policy, made.requester, RunState.SUCCEEDED, kind=POLICY_CHANGE)
    change.plan["new"] = PolicyTerms.of(made.policy).to_json()
    change.save()
    make_audited(made.requester)
    for kind in PROOFS.values():
        make_run(made.policy, made.requester, RunState.SUCCEEDED, kind=kind)
    SealBlock.objects.create(number=1, header="", leaves=0, made_at=timezone.now())
    enable("events")
    soft_delete("events", 1)
    return made


def is_login(response: Any) -> bool:
    return response.status_code == 302 and "/login/" in response["Location"]


def test_who_is_not_signed_in_is_sent_to_the_sign_in_page(console: Console) -> None:
    for name, address in addresses(console):
        if name not in ("login", "jsi18n"):
            response = Client().get(address)
            assert is_login(response) or name == "logout", f"{name}: {response.status_code}"


def test_who_is_no_staff_sees_nothing(console: Console) -> None:
    client = signed_in(User.objects.create_user("customer"))
    for name, address in addresses(console):
        if name not in ("login", "jsi18n", "logout"):
            assert is_login(client.get(address)), name


@pytest.mark.parametrize("role", [*ROLES, ""])
def test_each_role_opens_its_pages_and_no_other(console: Console, role: str) -> None:
    client = signed_in(person("somebody", role=role))
    for name, address in addresses(console):
        allowed = who_may(name)
        if allowed is None:
            continue
        got = status(client.get(address))
        if role in allowed:
            # A decision that the run's state does not allow leads back to the run.
            # What only answers to a POST is asked nothing here.
            shown = (200, 302, 405) if name in ACTS else (404,) if name in OWN else (200,)
            assert got in shown, f"{name}: {got}"
        else:
            assert got == 403, f"{role or 'nobody'} opens {name}: {got}"


@pytest.mark.parametrize("role", [*ROLES, ""])
def test_each_role_posts_only_what_it_may_decide(console: Console, role: str) -> None:
    client = signed_in(person("somebody", role=role))
    before = (Run.objects.count(), Run.objects.get(pk=console.run.pk).state)
    for name, address in addresses(console):
        allowed = who_may(name)
        if allowed is None or (name in ACTS and role in allowed):
            continue
        given = {"reason": "because", "post": "yes", "keep_hours": "1", "name": "other"}
        got = status(client.post(address, given))
        # Lists and histories that one may see are shown, whatever is posted to them; a search is.
        shown = role in allowed and name.endswith(("_changelist", "_history", "_find"))
        assert got in ((200, 302, 403) if shown else (403, 405)), f"{role}: {name} {got}"
    assert (Run.objects.count(), Run.objects.get(pk=console.run.pk).state) == before
    console.policy.refresh_from_db()
    assert console.policy.keep_hours == 24 * 365
    assert console.policy.history.count() == 1
    assert TrackedTable.objects.get().untracked_at is None
    assert not VersionNote.objects.exists()
    assert len(versions_of(TrackedTable.objects.get(), "1").versions) == 2
    assert [each.state for each in Deletion.objects.all()] == [Deletion.State.DELETED]
    assert SoftDeleteTable.objects.get().disabled_at is None


def test_nothing_that_was_asked_by_get_changes_anything(console: Console) -> None:
    client = signed_in(person("boss", is_superuser=True))
    before = _standing()
    for name, address in addresses(console):
        if name != "logout":
            status(client.get(address))
    assert _standing() == before


def _standing() -> list[Any]:
    """The runs, and what is in the bin."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, deletion_id FROM app.events ORDER BY id")
        rows = cursor.fetchall()
    runs = Run.objects.values("pk", "state", "decision").order_by("pk")
    return [*runs, *Deletion.objects.values("pk", "state"), *rows]


@pytest.mark.parametrize("role", [*ROLES, ""])
def test_the_sidebar_leads_only_where_one_may_go(console: Console, role: str) -> None:
    client = signed_in(person("somebody", role=role))
    page = client.get("/admin/").content.decode()
    sidebar = page[page.index('id="nav-sidebar-apps"') :]
    sidebar = sidebar[: sidebar.index("navigation_user") if "navigation_user" in sidebar else None]
    for model, allowed in MODELS.items():
        listed = reverse(f"admin:{model}_changelist")
        shown = f'href="{listed}" class="flex h-[38px]' in sidebar
        expected = role in allowed and model not in NOT_LISTED
        assert shown == expected, f"{role or 'nobody'}: {listed}"
