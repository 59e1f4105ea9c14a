"""The console's own tables in the audit: seen like their objects, put back by nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from auditing.exceptions import RestoreRefused
from auditing.models import ChangeStatement, Operation, TrackedTable
from auditing.services.record_restore import record_restore
from auditing.services.track import table_track
from operations.models import Run
from tests.console import person as somebody
from tests.console import signed_in

from .log_lines import change as log_change
from .log_lines import context, table
from .reading import text_of

pytestmark = pytest.mark.django_db
Execute = Callable[..., list[tuple[Any, ...]]]
LOG = "/admin/auditing/changestatement"


@pytest.fixture
def users(person: User) -> TrackedTable:
    return table_track("custody.auth_user", actor=person, reason="test")


@pytest.fixture
def support(users: TrackedTable) -> Client:
    return signed_in(somebody("sue", role="support"))


@pytest.fixture
def change(users: TrackedTable, support: Client, execute: Execute) -> ChangeStatement:
    """Sue had every right for a moment, and the name Susannah. The summary is made by hand."""
    User.objects.filter(username="sue").update(is_superuser=True, first_name="Susannah")
    ((seq, statement, xid),) = execute(
        "SELECT seq, statement, xid FROM history.custody__auth_user ORDER BY seq DESC LIMIT 1"
    )
    User.objects.filter(username="sue").update(is_superuser=False, first_name="")
    return ChangeStatement.objects.create(
        id=statement,
        tracked=users,
        operation=Operation.UPDATE,
        xid=xid,
        at=timezone.now(),
        rows=1,
        first_seq=seq,
        last_seq=seq,
        changed=["is_superuser"],
        actor="console:boss",
        session_user="custody",
    )


def test_nobody_reverts_or_restores_what_is_the_consoles_own(
    users: TrackedTable, support: Client, change: ChangeStatement, person: User
) -> None:
    sue = User.objects.get(username="sue")
    auditing = {"reason": "me"}
    officer = signed_in(somebody("olga", role="officer"))
    boss = signed_in(somebody("boss", is_superuser=True))
    for client in (support, officer, boss):
        page = client.get(f"{LOG}/{change.pk}/change/")
        assert "/revert/" not in page.content.decode()
        refused = client.post(f"{LOG}/{change.pk}/revert/", auditing, follow=True)
        assert "is the console's own" in text_of(refused)
        restore = f"/admin/auditing/trackedtable/{users.pk}/record/{sue.pk}/restore/"
        answer = client.post(f"{restore}?version={change.first_seq}", auditing)
        assert answer.status_code == (302 if client is boss else 403)
    with pytest.raises(RestoreRefused, match="console's own"):
        record_restore(
            tracked=users, record_id=str(sue.pk), seq=change.first_seq, actor=person, reason="x"
        )
    sue.refresh_from_db()
    assert not sue.is_superuser
    assert Run.objects.count() == 0


def test_a_transaction_with_some_of_it_is_not_reverted_whole(
    users: TrackedTable, support: Client, change: ChangeStatement
) -> None:
    orders = table("orders")
    said = context("console:sue", extra={"run": 7, "restored": {"version": 2, "seq": 44}})
    line = log_change(orders, change.pk + 1, xid=change.xid, said=said)
    page = support.get(f"{LOG}/{line.pk}/change/")
    assert f"/changestatement/{line.pk}/revert/" in page.content.decode()
    assert "/transaction/" not in page.content.decode()
    assert 'href="/admin/operations/run/7/change/"' in page.content.decode()
    assert "Restored version 2 " in text_of(page)
    log_change(orders, change.pk + 2, xid=4711)
    log_change(orders, change.pk + 3, xid=4711)
    both = support.get(f"{LOG}/{change.pk + 2}/change/").content.decode()
    assert "/transaction/4711/revert/" in both


def test_their_rows_are_for_those_who_may_see_the_objects(
    users: TrackedTable, support: Client, change: ChangeStatement
) -> None:
    sue = User.objects.get(username="sue")
    auditor = signed_in(somebody("paul", role="auditor"))
    statement = f"{LOG}/{change.pk}/change/"
    record = f"/admin/auditing/trackedtable/{users.pk}/record/{sue.pk}/"
    find = "/admin/auditing/trackedtable/find/key/"
    assert "Susannah" in text_of(auditor.get(statement))
    assert "Susannah" in text_of(auditor.get(record))
    assert f'<option value="{users.pk}"' in auditor.get(find).content.decode()
    hidden = text_of(support.get(statement))
    assert "Susannah" not in hidden
    assert "shown to those who may see its objects" in hidden
    assert support.get(record).status_code == 403
    assert f'<option value="{users.pk}"' not in support.get(find).content.decode()
