"""What commands and pages say of policies with soft deletion, and of what is in the bin."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from operations.models import Run
from retention.models import Deletion, RetentionPolicy
from retention.services.policy_check import policy_check
from retention.services.purge_nightly import purge_nightly
from retention.services.purge_start import purge_run
from tests.console import PASSWORD, signed_in
from tests.console import person as somebody

from .archiving import command, said
from .binned import ever_policy, grace_over, ids, soft_policy
from .holding import place
from .purging import make_policy, ran
from .softdeleting import soft_delete

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def waiting(bin_shop: None) -> tuple[Deletion, Deletion, Deletion]:
    """Destroyed by the next purge, held, and in its grace."""
    made = soft_delete("users", 8), soft_delete("users", 9), soft_delete("users", 10)
    place("2031-17", "app.orders", rows=["17"])
    grace_over(made[0].pk, made[1].pk)
    return made


def test_a_look_beforehand_says_what_goes_in_what_goes_and_what_waits(
    waiting: tuple[Deletion, Deletion, Deletion],
) -> None:
    soft_policy()
    code, document = command("purge_run", dry_run=True)
    plan = document["plan"]
    assert (code, plan["due"], plan["disposition"]) == (0, 6, "into the bin, then archived")
    found = plan["bin"]
    assert (found["deletions"], found["rows"], found["waiting"]) == (2, 18, 1)
    why = "rows of app.orders are held by hold 2031-17"
    assert found["waiting_because"] == [{"deletion": waiting[1].pk, "why": why}]
    assert (found["in_grace"], found["in_grace_rows"]) == (1, 9)
    text = said("purge_run", dry_run=True)
    assert "6, 18 in the bin" in text
    assert f"waits: deletion {waiting[1].pk}: {why}" in text
    assert "still in its grace: 9 rows of 1 deletion; the next one ends" in text
    assert not Run.objects.exists()
    text = said("policy_preview", "users")
    assert "then into the bin, then archived" in text
    assert "destroyed from the bin: 9 of 18 rows of 2 deletions" in text


def test_kept_for_ever_it_tells_of_the_bin_alone(
    waiting: tuple[Deletion, Deletion, Deletion],
) -> None:
    ever_policy()
    assert "18 in the bin" in said("purge_run", dry_run=True)
    assert "destroyed from the bin: 9 of 18 rows" in said("policy_preview", "users")


def test_cleanup_expired_data_counts_what_it_destroyed_and_moved(
    waiting: tuple[Deletion, Deletion, Deletion],
) -> None:
    ever_policy()
    code, document = command("cleanup_expired_data", user="ada")
    assert (code, document["tables"]) == (0, [{"table_name": "app.users", "deleted_count": 9}])
    assert ids("users") == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]


def test_every_night_for_policies_in_force(bin_shop: None, person: User) -> None:
    soft_delete("users", 9)
    grace_over()
    ever_policy(enabled=False)
    assert purge_nightly(requester=person) == []
    RetentionPolicy.objects.update(enabled=True)
    [run] = purge_nightly(requester=person)
    assert Run.objects.get(pk=run).total == 9


def test_more_than_ever_before_waits_for_another_person(bin_shop: None, person: User) -> None:
    policy = ever_policy()
    soft_delete("users", 1)
    grace_over()
    ran(purge_run(policy=policy, requester=person))
    soft_delete("users", 2, 3, 4)
    grace_over()
    run = purge_run(policy=policy, requester=person).run
    assert run is not None
    assert run.state == "awaiting_approval"
    assert "27 rows are due" in run.approval_reason
    assert ids("users", "id = 2") == [2]


def test_a_file_may_come_before_its_table_is_enabled_and_the_check_tells(
    governed: str, execute: Execute, person: User, tmp_path: Path
) -> None:
    """The specification's own example."""
    execute("CREATE TABLE app.users (id int PRIMARY KEY, created_at timestamptz)")
    file = tmp_path / "policies.yaml"
    file.write_text("policies:\n  - { table: app.users, retentionDays: -1, softDelete: true }\n")
    code, document = command("policy_import", str(file), user="ada")
    assert code == 0
    assert "destroy what is in the bin of app.users" in document["policy"]["why"][0]
    RetentionPolicy.objects.update(enabled=True)
    [finding] = [each for each in policy_check() if each.kind == "refused"]
    assert finding.what.endswith("app.users does not have soft delete.")
    assert finding.remedy == "Enable it: manage.py softdelete_enable app.users"
    assert "softdelete_enable app.users" in said("purge_run", "users", user="ada")


def test_what_does_not_go_along_there_cannot_be_named(bin_shop: None) -> None:
    make_policy("users", soft_delete=True, dependents=[["app", "addresses"]])
    [finding] = [each for each in policy_check() if each.kind == "drifted"]
    assert "they do not go into the bin with those of app.users" in finding.what


@pytest.fixture
def officer(db: None) -> Client:
    return signed_in(somebody("officer", role="officer", password=PASSWORD))


def test_the_pages_of_the_policy_and_of_its_run(
    officer: Client, waiting: tuple[Deletion, Deletion, Deletion]
) -> None:
    policy = soft_policy()
    preview = reverse("admin:retention_retentionpolicy_preview", args=[policy.pk])
    text = officer.get(f"{preview}?look=page").text
    assert "destroyed from the bin: 9 of 18 rows of 2 deletions" in text
    asked = reverse("admin:retention_retentionpolicy_run", args=[policy.pk])
    text = officer.get(asked).text
    assert "Destroyed from the bin" in text
    assert "of 18 rows of 2 deletions" in text
    assert re.search(r"rows of 1 deletion; the next ends \d+ \w{3} \d{4}, \d\d:\d\d", text)
    assert f"Deletion {waiting[1].pk} waits" in text
    assert officer.post(asked, {"reason": "now"}).status_code == 302
    run = Run.objects.get()
    page = reverse("admin:operations_run_change", args=[run.pk])
    assert "rows of app.orders are held by hold 2031-17" in officer.get(page).text
    ran(purge_run(policy=policy, requester=User.objects.get(username="officer")))
    assert "Moved into the bin" in officer.get(page).text


def test_what_is_in_the_bin_is_destroyed_from_its_page(
    officer: Client, waiting: tuple[Deletion, Deletion, Deletion]
) -> None:
    deletion = waiting[2]
    page = reverse("admin:retention_deletion_change", args=[deletion.pk])
    address = reverse("admin:retention_deletion_purge", args=[deletion.pk])
    assert address in officer.get(page).text
    assert "for ever?" in officer.get(address).text
    answer = officer.post(address, {"reason": "She asked."}, follow=True)
    run = Run.objects.get()
    assert (run.kind, run.state) == ("deletion_purge", "awaiting_approval")
    assert f"{run.pk}" in answer.text
    support = signed_in(somebody("support", role="support", password=PASSWORD))
    assert address not in support.get(page).text
    assert support.get(address).status_code == 403


def test_what_is_held_is_refused_there_in_words(
    officer: Client, waiting: tuple[Deletion, Deletion, Deletion]
) -> None:
    address = reverse("admin:retention_deletion_purge", args=[waiting[1].pk])
    assert "are held by hold 2031-17" in officer.get(address, follow=True).text
    assert not Run.objects.exists()


def test_the_form_of_a_policy_keeps_and_takes_soft_deletion(
    officer: Client, bin_shop: None
) -> None:
    policy = ever_policy()
    address = reverse("admin:retention_retentionpolicy_propose", args=[policy.pk])
    text = officer.get(address).text
    assert 'name="soft_delete"' in text
    given = {"unit": "ever", "enabled": "on", "condition-mode": "none", "reason": "so"}
    answer = officer.post(address, {**given, "soft_delete": "on", "archive_first": "on"})
    assert answer.status_code == 302, answer.text
    answer = officer.post(address, given, follow=True)
    assert "oft deletion first" in answer.text
