"""The page Seals: is the log sealed and proved? Verifications, redactions and evidence by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from auditing.models import SealBlock, SealPosition, TrackedTable, VerifyFinding
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.seal_state import seal_state
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track
from auditing.services.untrack import table_untrack
from operations.models import Run
from operations.services.run_execute import run_execute
from operations.services.run_to_end import run_to_end
from tests.console import person as somebody
from tests.console import signed_in

from .reading import text_of

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]
SEALS = "/admin/auditing/sealblock/"


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("seal_actions", "evidence"):
        monkeypatch.setattr(f"auditing.admin.{module}.wake", lambda _run: None)


@pytest.fixture
def orders(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, email text, status text)")
    tracked = table_track("app.orders", actor=person, reason="the law")
    execute("INSERT INTO app.orders VALUES (1, 'ann@example.org', 'new'), (2, 'b@x', 'new')")
    return tracked


@pytest.fixture
def operator() -> Client:
    return signed_in(somebody("otto", role="operator"))


@pytest.fixture
def officer() -> Client:
    return signed_in(somebody("olga", role="officer"))


def page(client: Client, name: str, *arguments: Any) -> str:
    return text_of(client.get(reverse(f"admin:{name}", args=arguments)))


def verified(person: User) -> Run:
    return run_to_end(run=audit_verify_start(requester=person, reason="test"))


def test_an_operator_seals_and_sees_what_is_covered(
    orders: TrackedTable, operator: Client, execute: Execute
) -> None:
    assert "Nothing is sealed yet" in text_of(operator.get(SEALS))
    refused = operator.post(f"{SEALS}seal/", {"reason": ""})
    assert "This field is required" in text_of(refused)
    assert not SealBlock.objects.exists()
    told = text_of(operator.post(f"{SEALS}seal/", {"reason": "before the audit"}, follow=True))
    assert "sealed in 1 block; the last is block 1." in told
    assert "The log is sealed Up to" in told
    assert "It was never verified" in told
    assert "app.orders 2" in told
    assert "history." not in told
    block = page(operator, "auditing_sealblock_change", 1)
    assert "Block 1 Valid" in block
    assert "none: it is the first" in block
    assert "The same hash" in block
    execute("UPDATE app.orders SET status = 'paid'")
    operator.post(f"{SEALS}seal/", {"reason": "again"})
    assert "The one before" in page(operator, "auditing_sealblock_change", 2)
    again = text_of(operator.post(f"{SEALS}seal/", {"reason": "again"}, follow=True))
    assert "Everything was sealed already; the last is block 2." in again


def test_a_block_that_was_changed_says_so(orders: TrackedTable, operator: Client) -> None:
    audit_seal()
    block = SealBlock.objects.get()
    header = block.header.replace("history.app__orders", "history.app__others")
    SealBlock.objects.update(header=header)
    assert "Its hash is not that of its header." in page(operator, "auditing_sealblock_change", 1)
    SealBlock.objects.update(header="{}")
    changed = page(operator, "auditing_sealblock_change", 1)
    assert "Its header was changed" in changed
    assert "Nothing that can be read." in changed
    SealBlock.objects.update(header=block.header, hash="0" * 64)
    assert "Its hash is not that of its header." in page(operator, "auditing_sealblock_change", 1)
    SealBlock.objects.update(hash=block.hash, signature=block.signature[::-1])
    assert "Its signature does not fit" in page(operator, "auditing_sealblock_change", 1)


def test_a_change_that_waits_too_long_is_late(
    orders: TrackedTable, operator: Client, execute: Execute
) -> None:
    assert seal_state().waiting_since is not None
    audit_seal()
    assert seal_state().waiting_since is None
    execute("UPDATE app.orders SET status = 'paid'")
    statement_summarise()
    waits = seal_state()
    assert waits.waiting_since is not None
    assert not waits.is_late
    assert waits.level == "success"
    execute("UPDATE custody.auditing_changetransaction SET committed_at = now() - interval '1 h'")
    assert seal_state().is_late
    assert "The log is not sealed up to now" in text_of(operator.get(SEALS))
    assert "The log is not sealed up to now." in text_of(operator.get("/admin/"))
    audit_seal()
    assert seal_state().level == "success"


def test_what_a_transaction_open_for_long_wrote_waits_since_its_commit(
    orders: TrackedTable, execute: Execute, other_session: Callable[[], Any]
) -> None:
    slow = other_session()
    slow.autocommit = False
    slow.execute("UPDATE app.orders SET status = 'slow' WHERE id = 1")
    execute("UPDATE app.orders SET status = 'quick' WHERE id = 2")
    audit_seal()
    began = timezone.now()
    slow.commit()
    statement_summarise()
    since = seal_state().waiting_since
    assert since is not None
    assert since >= began - timedelta(minutes=1)
    audit_seal()
    assert seal_state().waiting_since is None


def test_a_rewound_database_is_told_everywhere(
    orders: TrackedTable, operator: Client, execute: Execute
) -> None:
    audit_seal()
    execute("UPDATE app.orders SET status = 'paid'")
    audit_seal()
    execute("DELETE FROM custody.auditing_sealsection WHERE block_id = 2")
    execute("DELETE FROM custody.auditing_sealblock WHERE number = 2")
    assert seal_state().level == "danger"
    assert "The database was rewound" in text_of(operator.get(SEALS))
    assert "The database was rewound." in text_of(operator.get("/admin/"))
    refused = text_of(operator.post(f"{SEALS}seal/", {"reason": "now"}, follow=True))
    assert "Nothing is sealed before." in refused


def test_a_verification_is_asked_for_and_its_findings_lead_to_the_record(
    orders: TrackedTable, officer: Client, person: User, execute: Execute
) -> None:
    audit_seal()
    asked = officer.post(f"{SEALS}verify/", {"table": "", "since": "", "reason": ""})
    run = Run.objects.get(kind="audit_verify")
    assert asked["Location"] == reverse("admin:operations_run_change", args=[run.pk])
    run_execute(run_id=run.pk)
    assert "Nothing was altered, removed or added" in page(officer, "operations_run_change", run.pk)
    assert "The log is sealed and proved" in text_of(officer.get(SEALS))

    execute('UPDATE history.app__orders SET "2_email" = \'forged\' WHERE "1_id" = 1')
    bad = verified(person)
    found = VerifyFinding.objects.filter(run_id=bad.pk).first()
    assert found is not None
    shown = officer.get(reverse("admin:auditing_sealblock_findings", args=[bad.pk]))
    assert found.text in text_of(shown)
    record = reverse("admin:auditing_trackedtable_record", args=[orders.pk, "1"])
    assert f'href="{record}"' in shown.content.decode()
    assert found.text in page(officer, "operations_run_change", bad.pk)
    assert "The log is not what was sealed" in text_of(officer.get(SEALS))
    overview = text_of(officer.get("/admin/"))
    assert overview.count("in the audit log that") == 1
    assert "The log is not what was sealed." not in overview
    # A look at a part that is well does not take back what another one found.
    run_to_end(run=audit_verify_start(requester=person, since=timezone.now()))
    assert seal_state().level == "danger"


def test_an_officer_asks_for_a_redaction_from_the_record(
    orders: TrackedTable, officer: Client
) -> None:
    record = reverse("admin:auditing_trackedtable_record", args=[orders.pk, "1"])
    assert f'href="{record}redact/"' in officer.get(record).content.decode()
    asks = text_of(officer.get(f"{record}redact/"))
    assert "email text status text" in asks
    plan = text_of(officer.get(f"{record}redact/?column=email"))
    assert "Versions with a value 1" in plan
    assert "it stays, and the next change of the row brings it into the history again" in plan
    assert not Run.objects.exists()
    told = text_of(
        officer.post(f"{record}redact/?column=email", {"reason": "Art. 17"}, follow=True)
    )
    run = Run.objects.get()
    assert f"Run {run.pk} waits for another person's approval." in told
    assert (run.kind, run.state, run.plan["columns"]) == (
        "audit_redact", "awaiting_approval", ["email"],
    )  # fmt: skip
    key = text_of(officer.get(f"{record}redact/?column=id", follow=True))
    assert "is part of the key" in key


def test_evidence_is_exported_and_fetched_by_who_may(
    orders: TrackedTable, officer: Client, operator: Client
) -> None:
    form = f"{SEALS}evidence/"
    wrong = officer.post(form, {"reason": "the court", "record": "1"})
    assert "choose that one above" in text_of(wrong)
    given = {"reason": "the court", "tables": ["app.orders"], "record": "1"}
    officer.post(form, given)
    run = run_execute(run_id=Run.objects.get(kind="evidence_export").pk)
    assert run.state == "succeeded", run.error
    file = reverse("admin:auditing_sealblock_evidence_file", args=[run.pk])
    assert (
        f'href="{file}"'
        in officer.get(reverse("admin:operations_run_change", args=[run.pk])).content.decode()
    )
    fetched = officer.get(file)
    assert fetched.getvalue()[:2] == b"PK"
    assert "evidence was fetched by olga" in page(officer, "operations_run_change", run.pk)
    assert operator.get(file).status_code == 403


def test_evidence_of_everything_leaves_out_what_one_may_not_see(
    orders: TrackedTable, officer: Client, person: User
) -> None:
    users = table_track("custody.auth_user", actor=person, reason="ours")
    form = officer.get(f"{SEALS}evidence/").content.decode()
    assert "app.orders" in form
    assert "custody.auth_user" not in form
    officer.post(f"{SEALS}evidence/", {"reason": "the court"})
    assert Run.objects.get(kind="evidence_export").plan["tables"] == ["app.orders"]
    table_untrack(users, actor=person, reason="the test is over")


@pytest.fixture
def many(orders: TrackedTable) -> None:
    audit_seal()
    first = SealBlock.objects.get()
    SealBlock.objects.bulk_create(
        SealBlock(
            number=number, header=first.header, hash=f"{number:064}", signature="",
            key_id=first.key_id, leaves=1, made_at=first.made_at,
        )
        for number in range(2, 202)
    )  # fmt: skip
    SealPosition.objects.update(anchored=0)


def test_a_page_of_blocks_costs_the_same_however_many_there_are(
    many: None, operator: Client
) -> None:
    operator.get(SEALS)
    with CaptureQueriesContext(
        connection,
    ) as one:
        newest = text_of(operator.get(SEALS))
    with CaptureQueriesContext(connection) as two:
        older = text_of(operator.get(SEALS, {"before": "52"}))
    assert len(one) == len(two) <= 25
    blocks = [query["sql"] for query in two if 'auditing_sealblock"' in query["sql"]]
    assert not [query for query in blocks if "COUNT(" in query]
    assert "Block 201" in newest
    assert "Block 151 " not in newest
    assert "Block 51 " in older
    assert "Block 2 " in older
    assert "Block 52 " not in older
