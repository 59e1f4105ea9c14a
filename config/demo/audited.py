"""The demonstration's audit: some tables of the shop, and a day of changes with who and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction

from auditing.models import TrackedTable
from auditing.selectors.tracked import tracked_get
from auditing.selectors.versions import versions_of
from auditing.services.baseline import baseline_run
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import TrackTerms, table_track
from auditing.services.version_annotate import version_annotate
from operations.acting import Acting, acting_alone, acting_as
from operations.models import Run

TABLES: dict[str, TrackTerms] = {
    "shop.documents": TrackTerms(significant=("title", "content")),
    "shop.orders": TrackTerms(),
    "shop.order_lines": TrackTerms(),
    "shop.users": TrackTerms(mask=("password_hash",), exclude=("last_seen_at",)),
    "shop.addresses": TrackTerms(),
    "shop.products": TrackTerms(),
    "shop.notifications": TrackTerms(),
}
OFFICER = "officer"
REASON = "who changed what about customers can be asked for"
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_SUPPORT = {
    "actor": "app:support-maria",
    "user_id": "support-maria",
    "user_email": "maria@shop.example",
    "ip_address": "10.20.0.17",
    "user_agent": _BROWSER,
}


def audit_begin(*, on_progress: Callable[[Run], None]) -> None:
    """Audits the tables, with an image of every row there is. Killed between, it goes on."""
    officer = User.objects.get(username=OFFICER)
    known = {str(table): table for table in TrackedTable.objects.filter(untracked_at=None)}
    for name, terms in TABLES.items():
        tracked = known.get(name) or table_track(name, actor=officer, reason=REASON, terms=terms)
        baseline_run(tracked, requester=officer, reason=REASON, on_progress=on_progress)


def audit_day() -> int:
    """What people did, unless it was done before. Returns how many statements are in the log."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM custody.auditing_changecontext WHERE request_id = %s)",
            [_STORY[0][0]["request_id"]],
        )
        done = cursor.fetchone()[0]
    if not done:
        for said, statements in _STORY:
            _transaction(said, statements)
        _version_name()
    return statement_summarise()


def _transaction(said: dict[str, Any], statements: str) -> None:
    with (
        acting_alone(),
        acting_as(lambda _: Acting(**said)),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        for statement in statements.split(";\n"):
            cursor.execute(statement)


def _version_name() -> None:
    """What the customer signed has a name."""
    documents = tracked_get("shop.documents")
    with connection.cursor() as cursor:
        cursor.execute("SELECT id::text FROM shop.documents ORDER BY created_at, id LIMIT 1")
        (record_id,) = cursor.fetchone()
    version_annotate(
        tracked=documents,
        record_id=record_id,
        seq=versions_of(documents, record_id, limit=1).versions[0].seq,
        name="as signed",
        comment="The customer has a copy on paper.",
        author=User.objects.get(username=OFFICER),
    )


def _customer(number: int, request: str) -> dict[str, Any]:
    """A customer of the shop, on the day."""
    return {
        "actor": f"app:{4700 + number}",
        "user_id": str(4700 + number),
        "user_email": f"customer{number}@mail.example",
        "ip_address": f"203.0.113.{number}",
        "user_agent": _BROWSER,
        "request_id": request,
    }


_STORY: list[tuple[dict[str, Any], str]] = [
    (
        _customer(11, "0d5c-4b1e"),
        """
        UPDATE shop.users SET phone = '+44 20 7946 0018'
        WHERE id = (SELECT id FROM shop.users ORDER BY created_at, id OFFSET 11 LIMIT 1);
        UPDATE shop.addresses
        SET line1 = '12 Harbour Street', line2 = 'Flat 3', postcode = 'BS1 4RN', city = 'Bristol'
        WHERE is_default AND user_id =
            (SELECT id FROM shop.users ORDER BY created_at, id OFFSET 11 LIMIT 1)
        """,
    ),
    (
        {**_SUPPORT, "request_id": "9e1a-77c0", "reason": "Ticket 4711: the parcels came back"},
        """
        UPDATE shop.orders
        SET status = 'refunded', customer_note = 'Came back unopened, refunded.'
        WHERE id IN (SELECT id FROM shop.orders WHERE status = 'delivered'
                     ORDER BY id DESC LIMIT 3)
        """,
    ),
    (
        {
            **_customer(23, "51f3-02aa"),
            "impersonator": _SUPPORT["actor"],
            "reason": "Ticket 4713: cannot sign in",
        },
        """
        UPDATE shop.users SET email = 'new.' || email, password_hash = 'reset'
        WHERE id = (SELECT id FROM shop.users ORDER BY created_at, id OFFSET 23 LIMIT 1)
        """,
    ),
    (
        {**_SUPPORT, "request_id": "b7d0-1f29", "reason": "Ticket 4715: ordered twice"},
        """
        DELETE FROM shop.order_lines WHERE line_number > 1 AND order_id =
            (SELECT max(order_id) FROM shop.order_lines WHERE line_number > 1)
        """,
    ),
    (
        {"actor": "app:price-import", "request_id": "import-2", "reason": "Prices of the season"},
        "UPDATE shop.products SET price = round(price * 1.04, 2) WHERE id % 3 = 0",
    ),
    # A document: two versions of significance, and a change in between that is of none.
    (
        {**_SUPPORT, "request_id": "d001", "reason": "Wording agreed with the customer"},
        """
        UPDATE shop.documents
        SET title = title || ' (revised)', content = jsonb_set(content, '{paragraphs,1}',
            '"The goods are replaced within 14 days, free of charge."')
        WHERE id = (SELECT id FROM shop.documents ORDER BY created_at, id LIMIT 1)
        """,
    ),
    (
        {**_SUPPORT, "request_id": "d002"},
        """
        UPDATE shop.documents SET tags = tags || '{signed}'::text[], updated_at = now()
        WHERE id = (SELECT id FROM shop.documents ORDER BY created_at, id LIMIT 1)
        """,
    ),
    (
        {**_SUPPORT, "request_id": "d003", "reason": "Thirty days, after all"},
        """
        UPDATE shop.documents
        SET content = jsonb_set(content, '{paragraphs,1}',
            '"The goods are replaced within 30 days, free of charge and carriage."')
        WHERE id = (SELECT id FROM shop.documents ORDER BY created_at, id LIMIT 1)
        """,
    ),
    (
        {**_SUPPORT, "request_id": "d004", "reason": "Filed twice"},
        """
        DELETE FROM shop.documents WHERE id = (
            SELECT d.id FROM shop.documents d
            WHERE NOT EXISTS (SELECT FROM shop.documents c WHERE c.parent_id = d.id)
            ORDER BY d.created_at, d.id OFFSET 5 LIMIT 1)
        """,
    ),
]
