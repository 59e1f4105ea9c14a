"""Archives made by real purges, and what restoring them comes to."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command

from operations.services.actors import system_user
from retention.models import Archive
from retention.services.purge_start import purge_run

from .purging import make_policy

OLD = "timestamptz '2001-02-03'"
"""An age that is past every term."""


def archive_of(table: str, **terms: Any) -> Archive:
    """Purges the table of the schema `app`, by a policy of its own."""
    answer = purge_run(policy=make_policy(table, **terms), requester=system_user("purger"))
    assert answer.run is not None, answer.refusal
    assert answer.run.state == "succeeded", answer.run.error
    return Archive.objects.get(run=answer.run)


def command(name: str, *arguments: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON document of a command; its text for people is made too."""
    out = StringIO()
    code = 0
    try:
        call_command(name, *arguments, json=True, no_input=True, stdout=out, **options)
    except CommandError as error:
        code = error.returncode
    document: dict[str, Any] = json.loads(out.getvalue())
    return code, document


def said(name: str, *arguments: str, **options: Any) -> str:
    """What the command tells a person."""
    out = StringIO()
    try:
        call_command(name, *arguments, no_input=True, stdout=out, **options)
    except CommandError as error:
        out.write(str(error))
    return out.getvalue()


def restore(archive: Archive, **options: Any) -> tuple[int, dict[str, Any]]:
    return command("archive_restore", archive.name, **options)


def counts(document: dict[str, Any]) -> tuple[int, int, int]:
    """Restored (or restorable), already there, in conflict."""
    restored = document.get("restored", document.get("restorable"))
    return restored, document["already_there"], document["conflict_count"]


def reasons(document: dict[str, Any]) -> dict[str | None, str]:
    """Why, by key."""
    return {each["key"]: each["why"] for each in document["conflicts"]}
