"""The four roles: made by a migration, kept as the apps declare them."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from operations.roles import ROLES, roles_sync

pytestmark = pytest.mark.django_db


def held(role: str) -> set[str]:
    permissions = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{each.content_type.app_label}.{each.codename}" for each in permissions}


def test_a_fresh_console_has_the_four_roles() -> None:
    assert set(ROLES) <= set(Group.objects.values_list("name", flat=True))


def test_an_officer_sees_and_approves_and_cannot_control() -> None:
    assert "operations.approve_run" in held("officer")
    assert "retention.view_retentionpolicy" in held("officer")
    assert {"retention.place_legalhold", "retention.release_legalhold"} <= held("officer")
    assert "operations.control_run" not in held("officer")


def test_an_operator_controls_and_approves() -> None:
    assert {"operations.control_run", "operations.approve_run"} <= held("operator")


def test_support_sees_runs_policies_holds_and_changes_and_gives_rows_back() -> None:
    assert held("support") == {
        "operations.view_run",
        "operations.view_runevent",
        "retention.view_retentionpolicy",
        "retention.view_archive",
        "retention.view_softdeletetable",
        "retention.view_deletion",
        "retention.view_deletiontable",
        "retention.view_severedreference",
        "retention.delete_record",
        "retention.restore_record",
        "retention.view_archivepart",
        "retention.search_archive",
        "retention.restore_archive",
        "retention.view_legalhold",
        "retention.view_holdscope",
        "retention.view_heldrow",
        "auditing.view_trackedtable",
        "auditing.view_changestatement",
        "auditing.view_versionnote",
        "auditing.restore_version",
        "auditing.annotate_version",
    }


def test_an_auditor_sees_everything_of_the_console_and_changes_nothing() -> None:
    everything = Permission.objects.filter(
        content_type__app_label__in=["operations", "auditing", "retention"],
        codename__startswith="view_",
    ).select_related("content_type")
    expected = {f"{each.content_type.app_label}.{each.codename}" for each in everything}
    assert expected <= held("auditor")
    assert {name for name in held("auditor") if ".view_" not in name} == set()


def test_no_role_may_change_people_who_could_then_give_themselves_every_right() -> None:
    for role in ROLES:
        assert not [
            name
            for name in held(role)
            if name.startswith("auth.") and not name.startswith("auth.view_")
        ]


def test_migrating_again_changes_nothing_and_mends_what_was_changed_of_ours() -> None:
    before = {role: held(role) for role in ROLES}
    support = Group.objects.get(name="support")
    support.permissions.add(Permission.objects.get(codename="control_run"))
    Group.objects.get(name="officer").permissions.clear()
    call_command("migrate", verbosity=0)
    assert {role: held(role) for role in ROLES} == before


def test_permissions_of_other_apps_that_somebody_gave_stay() -> None:
    support = Group.objects.get(name="support")
    support.permissions.add(Permission.objects.get(codename="add_user"))
    roles_sync(apps.get_app_config("auth"), using="default")
    roles_sync(apps.get_app_config("operations"), using="default")
    assert "auth.add_user" in held("support")


def test_a_role_that_was_deleted_is_made_again() -> None:
    Group.objects.get(name="auditor").delete()
    call_command("migrate", verbosity=0)
    assert "operations.view_run" in held("auditor")
    assert "auth.view_user" in held("auditor")
