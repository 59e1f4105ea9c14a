"""What is in the bin is destroyed at somebody's word: approved by another, archived, certified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction

from operations.models import Alert, Certificate, Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve, run_cancel, run_refuse
from retention import tasks
from retention.exceptions import PurgeRefused
from retention.models import Archive, Deletion
from retention.services.bin_counts import deletions_lock
from retention.services.deletion_purge import (
    deletion_purge,
    deletion_purge_preview,
    deletion_purge_request,
)

from .archiving import command
from .binned import TABLES, assert_counts_true, binned, ids, soft_policy
from .holding import officer, place, release
from .records import assert_all_there, state
from .softdeleting import soft_delete

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("bin_shop")]
Execute = Callable[..., list[tuple[Any, ...]]]


def approved(run: Run) -> Run:
    run_approve(run_id=run.pk, approver=officer("grace"))
    return run_execute(run_id=run.pk)


def test_a_deletion_is_destroyed_when_another_person_has_approved_it(person: User) -> None:
    deletion = soft_delete("users", 9)
    before = state(*TABLES)
    run = deletion_purge(deletion_id=deletion.pk, actor=person, reason="She asked.")
    assert run.state == "awaiting_approval"
    assert run.subject == f"deletion {deletion.pk}: app.users 9"
    assert deletion_purge_request(deletion_id=deletion.pk, actor=person) == run, "it is asked once"
    assert state(*TABLES) == before
    run = approved(run)
    assert run.state == "succeeded"
    assert run.done == 9
    assert [binned(table) for table in TABLES] == [[], [], []]
    assert 9 not in ids("users")
    assert not Archive.objects.exists()
    deletion.refresh_from_db()
    assert (deletion.state, deletion.run) == ("purged", run)
    body = Certificate.objects.get().body["body"]
    assert body["deletion"]["record"] == "9"
    assert body["disposition"] == "destroyed"
    assert body["approved_by"] == "grace"
    assert body["tables"] == run.result["tables"]
    assert_counts_true()


def test_it_is_archived_first_if_the_policy_of_its_table_says_so(person: User) -> None:
    soft_policy(archive_days=90)
    deletion = soft_delete("users", 9, 10)
    before = state(*TABLES)
    run = approved(deletion_purge_request(deletion_id=deletion.pk, actor=person))
    assert run.state == "succeeded"
    assert_all_there(before)
    rows = dict(Archive.objects.values_list("table_name", "rows"))
    assert rows == {"users": 2, "orders": 4, "lines": 12}
    body = Certificate.objects.get().body["body"]
    assert body["policy"]["name"] == "users"
    assert body["disposition"].startswith("archived until")


def test_what_is_not_the_run_s_any_more_is_not_destroyed_by_it(person: User) -> None:
    """Asked in every step, under the lock of the deletion that a restore takes first."""
    first, second = soft_delete("users", 9), soft_delete("users", 10)
    ids_of_both = {first.pk, second.pk}
    run = deletion_purge_request(deletion_id=first.pk, actor=person)
    Deletion.objects.filter(pk__in=ids_of_both).update(state="purging", run=run)
    with transaction.atomic():
        assert deletions_lock(ids_of_both, run_id=run.pk)
        assert not deletions_lock(ids_of_both, run_id=run.pk + 1)
    Deletion.objects.filter(pk=second.pk).update(state="deleted")
    with transaction.atomic():
        assert not deletions_lock(ids_of_both, run_id=run.pk)


def test_a_preview_tells_of_that_deletion_alone(person: User) -> None:
    first = soft_delete("users", 9)
    soft_delete("users", 10)
    told = deletion_purge_preview(deletion_id=first.pk).facts["bin"]
    assert (told["deletions"], told["rows"], told["in_grace"]) == (1, 9, 0)


def test_a_held_record_stays_in_the_bin_and_the_refusal_says_why(person: User) -> None:
    deletion = soft_delete("users", 9)
    place("2031-17", "app.lines", where="id = 50")
    with pytest.raises(PurgeRefused, match=r"rows of app\.lines are held by hold 2031-17"):
        deletion_purge_request(deletion_id=deletion.pk, actor=person)
    assert not Run.objects.exists()
    release("2031-17")
    run = deletion_purge_request(deletion_id=deletion.pk, actor=person)
    # Placed while it waits for its approval: it is asked again in every step.
    place("2031-18", "app.lines", where="id = 50")
    assert approved(run).done == 0
    told = (
        f"Nothing was destroyed. Deletion {deletion.pk} stays in the bin: "
        "rows of app.lines are held by hold 2031-18."
    )
    assert told in run.events.values_list("message", flat=True)
    deletion.refresh_from_db()
    assert deletion.state == "deleted"
    assert binned("users") == [9]


def test_what_another_deletion_refers_to_is_not_destroyed_before_it(person: User) -> None:
    order, user = soft_delete("orders", 17), soft_delete("users", 9)
    with pytest.raises(PurgeRefused, match=f"in deletion {order.pk} refer to it, and go first"):
        deletion_purge_request(deletion_id=user.pk, actor=person)
    for each in (order, user):
        assert approved(deletion_purge_request(deletion_id=each.pk, actor=person)).done
    assert 9 not in ids("users")
    assert_counts_true()


def test_what_is_not_in_the_bin_cannot_be_destroyed(person: User) -> None:
    deletion = soft_delete("users", 9)
    approved(deletion_purge_request(deletion_id=deletion.pk, actor=person))
    with pytest.raises(PurgeRefused, match="not in the bin"):
        deletion_purge_request(deletion_id=deletion.pk, actor=person)


def test_a_run_that_is_cancelled_leaves_the_deletion_in_the_bin(person: User) -> None:
    deletion = soft_delete("users", 9)
    run = deletion_purge_request(deletion_id=deletion.pk, actor=person)
    run_cancel(run_id=run.pk, actor=person)
    deletion.refresh_from_db()
    assert deletion.state == "deleted"
    again = deletion_purge_request(deletion_id=deletion.pk, actor=person)
    assert again.pk != run.pk


def test_what_the_application_wants_destroyed_waits_for_an_officer(execute: Execute) -> None:
    [(number,)] = execute("SELECT custody.hard_delete('app.users', '9', 'Article 17')")
    tasks.bin_watch()
    tasks.bin_watch()
    run = Run.objects.get()
    assert (run.kind, run.state) == ("deletion_purge", "awaiting_approval")
    assert run.reason.endswith("Article 17")
    [alert] = Alert.objects.filter(resolved_at=None)
    assert alert.key == f"run-approval:{run.pk}"
    assert binned("users") == [9]
    assert approved(run).state == "succeeded"
    assert 9 not in ids("users")
    assert Deletion.objects.get(pk=number).state == "purged"
    tasks.bin_watch()
    assert Run.objects.count() == 1


def test_an_officer_says_no_and_nobody_asks_again(execute: Execute) -> None:
    execute("SELECT custody.hard_delete('app.users', '9')")
    tasks.bin_watch()
    run_refuse(run_id=Run.objects.get().pk, approver=officer("grace"), reason="Not yet.")
    tasks.bin_watch()
    assert Run.objects.count() == 1
    assert binned("users") == [9]


def test_what_is_held_stays_in_the_bin_with_an_alert_until_it_is_free(execute: Execute) -> None:
    place("2031-17", "app.orders", where="id = 17")
    [(number,)] = execute("SELECT custody.hard_delete('app.users', '9')")
    tasks.bin_watch()
    [alert] = Alert.objects.filter(resolved_at=None)
    assert alert.key == f"hard-delete:{number}"
    assert "held by hold 2031-17" in alert.summary
    assert not Run.objects.exists()
    assert binned("users") == [9]
    release("2031-17")
    tasks.bin_watch()
    assert Run.objects.get().state == "awaiting_approval"
    assert not Alert.objects.filter(key__startswith="hard-delete:", resolved_at=None).exists()


def test_the_command(person: User) -> None:
    deletion = soft_delete("users", 9)
    code, dry = command("deletion_purge", str(deletion.pk), dry_run=True)
    assert (code, dry["plan"]["bin"]["rows"]) == (0, 9)
    assert not Run.objects.exists()
    code, asked = command("deletion_purge", str(deletion.pk), user="ada")
    assert (code, asked["run"]["state"]) == (0, "awaiting_approval")
    place("2031-17", "app.users", rows=["10"])
    with pytest.raises(CommandError, match="held by hold 2031-17") as refused:
        call_command("deletion_purge", str(soft_delete("users", 10).pk), user="ada")
    assert refused.value.returncode == 3
    with pytest.raises(CommandError, match="no deletion 999999") as unknown:
        call_command("deletion_purge", "999999", user="ada")
    assert unknown.value.returncode == 2
