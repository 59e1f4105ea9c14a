"""A table to make policies for, and a form of a policy as a browser sends it."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import Client
from django.urls import reverse

from tests.console import person, signed_in


def make_tickets(rows: int = 30) -> None:
    """`desk.tickets` with notes that refer to it; every third ticket is open, all are old."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA desk")
        cursor.execute(
            "CREATE TABLE desk.tickets (id int PRIMARY KEY, status text, closed_at timestamptz,"
            " opened_on date, valid daterange, priority int, follows int REFERENCES desk.tickets)"
        )
        cursor.execute(
            "CREATE TABLE desk.notes (id int PRIMARY KEY,"
            " ticket_id int REFERENCES desk.tickets, text text)"
        )
        cursor.execute(
            "CREATE TABLE desk.files (note_id int REFERENCES desk.notes ON DELETE CASCADE)"
        )
        cursor.execute("CREATE INDEX ON desk.files (note_id)")
        # As older partitioned tables have them: a foreign key of a partition alone.
        cursor.execute("CREATE TABLE desk.calls (ticket_id int, day date) PARTITION BY RANGE (day)")
        cursor.execute(
            "CREATE TABLE desk.calls_2030 PARTITION OF desk.calls (FOREIGN KEY (ticket_id)"
            " REFERENCES desk.tickets) FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')"
        )
        cursor.execute("CREATE TABLE desk.unrelated (id int PRIMARY KEY, made timestamp)")
        cursor.execute(
            "INSERT INTO desk.tickets SELECT n, CASE WHEN n %% 3 = 0 THEN 'open' ELSE 'done' END,"
            " now() - interval '400 days', current_date - 400, NULL, n"
            " FROM generate_series(1, %s) n",
            [rows],
        )
        cursor.execute("ANALYZE desk.tickets")


def officer(name: str = "officer") -> Client:
    return signed_in(person(name, role="officer"))


def given(**more: Any) -> dict[str, Any]:
    """The form of a policy for desk.tickets: 90 days after they were closed."""
    return {
        "table": "desk.tickets",
        "name": "tickets",
        "amount": "90",
        "unit": "days",
        "age_column": "closed_at",
        "keep-mode": "none",
        "enabled": "on",
        "reason": "the schedule of 2031",
        **more,
    }


OPEN_STAYS = {
    "keep-mode": "lines",
    "keep-0-0-column": "status",
    "keep-0-0-operator": "=",
    "keep-0-0-value": "open",
}
NEW = "/admin/retention/retentionpolicy/add/?table=desk.tickets"


def url(name: str, *arguments: object) -> str:
    return reverse(f"admin:retention_retentionpolicy_{name}", args=arguments)


def review(client: Client, address: str, **more: Any) -> str:
    """Fills in the form; the address of the review that it leads to."""
    answer = client.post(address, given(**more))
    assert answer.status_code == 302, answer.context["form"].errors
    return str(answer["Location"])


def propose(client: Client, address: str, **more: Any) -> str:
    """All the way; the page that is shown in the end."""
    at = review(client, address, **more)
    return client.post(at, {"confirm": "desk.tickets"}, follow=True).text
