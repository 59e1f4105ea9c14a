"""What is known of a statement besides its rows: its context, its transaction, its purge."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from auditing.admin.words import (
    CLAIM,
    actor_kind,
    actor_link,
    actor_name,
    columns_words,
    what,
)
from auditing.models import ChangeContext, ChangeStatement
from auditing.selectors.log_filter import OWN
from operations.admin.show import NOTHING, Fact, code, link, when
from operations.models import Certificate, Run

SIBLINGS = 20
"""Other statements of the transaction that the page names."""


def statement_facts(statement: ChangeStatement, user: User | AnonymousUser) -> list[Fact]:
    """Who, from where and why."""
    context = statement.context
    facts = [Fact("When", when(statement.at)), *_who(statement, context)]
    if context is not None:
        facts += _context(context)
        facts += [_extra(str(key), value, user) for key, value in sorted(context.extra.items())]
    facts.append(
        Fact("Database role", code(statement.session_user), "that the session was of: not claimed")
    )
    address = str(statement.client_addr or "")
    facts.append(
        Fact("Connected from", code(address) if address else "this machine, by a socket",
             "as the database saw it")
    )  # fmt: skip
    if statement.changed:
        facts.insert(1, Fact("Columns", columns_words(statement.changed)))
    return facts


def _who(statement: ChangeStatement, context: ChangeContext | None) -> list[Fact]:
    email = context.user_email if context is not None else ""
    kind = actor_kind(statement.actor)
    hint = f"{actor_name(statement.actor)}, {kind}" if email and kind else kind
    facts = [Fact("Who", actor_link(statement.actor, email=email), hint)]
    if context is not None and context.impersonator:
        real = actor_link(context.impersonator)
        facts.append(Fact("Really", real, "who was signed in, and acted for the one above"))
    if statement.event is not None:
        facts.append(Fact("Reason", statement.event.reason or NOTHING))
    elif context is None:
        facts.append(Fact("Reason", NOTHING, "nothing was said with the change"))
    return facts


def _context(context: ChangeContext) -> list[Fact]:
    said = "a claim" if context.claimed else "known to this console"
    facts = [
        Fact("Reason", context.reason or NOTHING),
        Fact("How far that is sure", said, CLAIM if context.claimed else ""),
    ]
    if context.ip_address:
        facts.append(Fact("IP address", code(str(context.ip_address))))
    if context.user_agent:
        facts.append(Fact("Program", context.user_agent))
    if context.request_id:
        log = reverse("admin:auditing_changestatement_changelist")
        query = urlencode({"request_id": context.request_id})
        shown = format_html('<a href="{}?{}">{}</a>', log, query, code(context.request_id))
        facts.append(Fact("Request", shown, "everything that it changed"))
    return facts


def _extra(key: str, value: Any, user: User | AnonymousUser) -> Fact:
    """What the context says besides; a run of this console with its page."""
    label = key.replace("_", " ").capitalize()
    if key == "run" and isinstance(value, int) and user.has_perm("operations.view_run"):
        return Fact(label, link(f"Run {value}", "operations_run_change", value))
    if isinstance(value, dict):
        # A version's place in the order of all says nothing to a reader.
        told = (f"{name} {each}" for name, each in value.items() if name != "seq")
        return Fact(label, ", ".join(told))
    return Fact(label, str(value))


def siblings(statement: ChangeStatement) -> dict[str, Any]:
    """The other statements of its transaction, in their order."""
    others = ChangeStatement.objects.filter(xid=statement.xid).exclude(pk=statement.pk)
    found = list(others.select_related("tracked").order_by("id")[: SIBLINGS + 1])
    return {
        "siblings": [
            (
                reverse("admin:auditing_changestatement_change", args=[each.pk]),
                what(each),
                columns_words(each.changed),
                "before" if each.pk < statement.pk else "after",
            )
            for each in found[:SIBLINGS]
        ],
        "more_siblings": len(found) > SIBLINGS,
        # Nothing of the console's own is put back, so neither is a transaction that has some of it.
        "whole": bool(found) and not others.filter(tracked__schema_name=OWN).exists(),
    }


def purge_facts(statement: ChangeStatement, user: User | AnonymousUser) -> list[Fact]:
    """The run and the certificate of a purge; nothing for any other statement."""
    event = statement.event
    if event is None:
        return []
    facts = []
    run = Run.objects.filter(pk=event.run_id).first() if event.run_id else None
    if run is not None:
        sees = user.has_perm("operations.view_run")
        facts.append(Fact("Run", link(run, "operations_run_change", run.pk) if sees else str(run)))
    if event.certificate:
        found = Certificate.objects.filter(number=event.certificate).only("pk", "number").first()
        sees = found is not None and user.has_perm("operations.view_certificate")
        shown = (
            link(event.certificate, "operations_certificate_change", found.pk)
            if sees and found is not None
            else event.certificate
        )
        facts.append(Fact("Certificate", shown, "signed: what was purged and why"))
    return facts
