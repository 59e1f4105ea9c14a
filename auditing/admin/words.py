"""A change in words: who, what, why; the same in the log, on its page and on a record's."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from auditing.models import ChangeContext, ChangeStatement, Operation
from operations.admin.show import NOTHING, joined, lines, number

CLAIM = "Said by the application's own session: nobody has checked it."
MOST_COLUMNS = 6
_KINDS = {
    "console": "in this console",
    "app": "user of the application",
    "db": "role of the database",
}
_VERBS: dict[str, tuple[str, str]] = {
    Operation.INSERT: ("added to", "success"),
    Operation.UPDATE: ("changed in", "info"),
    Operation.DELETE: ("deleted from", "danger"),
    Operation.TRUNCATE: ("emptied from", "danger"),
    Operation.PURGE: ("purged from", "warning"),
}
OPERATIONS = {
    Operation.INSERT: "Added",
    Operation.UPDATE: "Changed",
    Operation.DELETE: "Deleted",
    Operation.TRUNCATE: "Emptied",
    Operation.PURGE: "Purged",
}
"""What a statement may be, as one chooses it."""


def rows_words(count: int | None) -> str:
    return f"{number(count)} row{'' if count == 1 else 's'}"


def what(statement: ChangeStatement) -> str:
    """`3 rows changed in shop.orders`."""
    verb, _ = _VERBS.get(statement.operation, (statement.get_operation_display().lower(), ""))
    return f"{rows_words(statement.rows)} {verb} {statement.tracked}"


def operation_name(statement: ChangeStatement) -> tuple[str, str]:
    """What was done in a word, and its tone."""
    operation = Operation(statement.operation)
    return OPERATIONS.get(operation, operation.label), operation_colour(statement)


def operation_colour(statement: ChangeStatement) -> str:
    """The tone of a line: what came, what went."""
    _, colour = _VERBS.get(statement.operation, ("", ""))
    return colour


def columns_words(names: Sequence[str]) -> str:
    """`status, note and 3 more`."""
    if len(names) <= MOST_COLUMNS:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_COLUMNS])} and {len(names) - MOST_COLUMNS} more"


def actor_name(actor: str) -> str:
    """`anna` of `console:anna`; the text as it is where it has no kind."""
    kind, colon, name = actor.partition(":")
    return name if colon and name and kind in _KINDS else actor


def actor_kind(actor: str) -> str:
    """`user of the application`; empty where the text does not say."""
    kind, colon, name = actor.partition(":")
    return _KINDS.get(kind, "") if colon and name else ""


def actor_url(actor: str) -> str:
    page = reverse("admin:auditing_changestatement_actor")
    return f"{page}?{urlencode({'actor': actor})}"


def actor_link(actor: str, *, email: str = "") -> SafeString:
    return format_html('<a href="{}">{}</a>', actor_url(actor), email or actor_name(actor))


def who(actor: str, context: ChangeContext | None) -> SafeString:
    """The person, for whom they acted, and whether anybody checked that."""
    if not actor:
        return SafeString(NOTHING)
    email = context.user_email if context is not None else ""
    shown = actor_link(actor, email=email)
    if context is not None and context.claimed:
        shown = joined([shown, claim_badge()])
    return lines(shown, _quiet(actor, context))


def claim_badge() -> SafeString:
    return format_html('<span class="c-claim" title="{}">claimed</span>', CLAIM)


def _quiet(actor: str, context: ChangeContext | None) -> str:
    if context is not None and context.impersonator:
        return f"really {actor_name(context.impersonator)}, acting for them"
    if context is not None and context.user_email:
        return actor_name(actor) if actor_name(actor) != context.user_email else ""
    return actor_kind(actor)


def why(statement: ChangeStatement) -> str:
    if statement.context is not None and statement.context.reason:
        return statement.context.reason
    if statement.event is not None and statement.event.reason:
        return statement.event.reason
    return NOTHING
