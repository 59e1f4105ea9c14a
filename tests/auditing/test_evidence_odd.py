"""Evidence of odd columns and values, of months that went, and of a database that was put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from auditing.models import SealBlock, SealPosition, SealSection
from auditing.services.anchors import rewind_accept
from auditing.services.audit_seal import audit_seal
from auditing.services.evidence_export import evidence_export
from auditing.services.track import table_track
from auditing.services.untrack import table_untrack
from tests.auditing.evidence_kit import examine, lines_of, members_of

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


def verified(person: User, tmp_path: Path, **choice: Any) -> tuple[dict[str, Any], str, Path]:
    out = tmp_path / f"{len(list(tmp_path.glob('*.zip')))}.zip"
    run = evidence_export(
        since=None,
        until=None,
        requester=person,
        reason="the court asked",
        out=out,
        **{"tables": ["app.odd"], **choice},
    )
    assert run.state == "succeeded", run.error
    assert run.result["altered"] == []
    code, said = examine(out, alone=tmp_path)
    assert code == 0, said
    return run.result, said, out


def test_odd_names_and_values_and_columns_that_came_later(
    execute: Execute, person: User, tmp_path: Path
) -> None:
    execute(
        'CREATE TABLE app.odd ("a,b" int, "tab\tname\\" text, "Ünï" bytea, gone text,'
        ' PRIMARY KEY ("a,b", "tab\tname\\"))'
    )
    tracked = table_track("app.odd", actor=person, reason="the law")
    execute(r"INSERT INTO app.odd VALUES (1, E'x\ty\n\\.', '\x00ff', '=1+1'), (2, '', NULL, NULL)")
    execute("ALTER TABLE app.odd ADD later jsonb, DROP gone")
    execute("""INSERT INTO app.odd VALUES (3, 'z', NULL, '{"b": [1, "\u2028", null], "a": 1e3}')""")
    audit_seal()
    done, _, out = verified(person, tmp_path)
    assert done["versions"] == 3
    rows = lines_of(members_of(out), f"rows/{tracked.history}.jsonl")
    later = [each for row in rows for each in row.get("values", []) if each[0].startswith("rest.")]
    assert len(later) == 1, "it has no column of its own in the history yet"
    table = members_of(out)["summary/app.odd.csv"].decode()
    assert "'=1+1" in table, "a spreadsheet does not take it for a formula"
    one, _, _ = verified(person, tmp_path, record='["1", "x\\ty\\n\\\\."]')
    assert one["versions"] == 1


def test_a_table_that_was_audited_twice_and_is_gone(
    execute: Execute, person: User, tmp_path: Path
) -> None:
    execute("CREATE TABLE app.odd (id int PRIMARY KEY)")
    tracked = table_track("app.odd", actor=person, reason="the law")
    execute("INSERT INTO app.odd VALUES (1)")
    audit_seal()
    table_untrack(tracked, actor=person, reason="no law any more")
    table_track("app.odd", actor=person, reason="a new law")
    execute("INSERT INTO app.odd VALUES (2)")
    audit_seal()
    execute("DROP TABLE app.odd")
    done, _, out = verified(person, tmp_path)
    assert sum(name.endswith(".csv") for name in members_of(out)) == 2
    versions = {name: rows for name, rows in done["counts"].items() if name.startswith("history.")}
    assert sum(versions.values()) == 2
    everything, _, _ = verified(person, tmp_path, tables=None)
    assert everything["versions"] == 2


def test_a_database_that_was_put_back_on_purpose_says_so(
    execute: Execute, person: User, tmp_path: Path
) -> None:
    execute("CREATE TABLE app.odd (id int PRIMARY KEY)")
    table_track("app.odd", actor=person, reason="the law")
    audit_seal()
    before = SealPosition.objects.values().get()
    execute("INSERT INTO app.odd VALUES (1)")
    audit_seal()
    assert SealBlock.objects.count() == 2
    # As a restored backup has it.
    SealSection.objects.filter(block=2).delete()
    SealBlock.objects.filter(number=2).delete()
    SealPosition.objects.update(**before)
    rewind_accept(actor=person, reason="restored after the fire")
    done, said, _ = verified(person, tmp_path)
    assert done["versions"] == 1
    assert "note    put back to block 1, " in said
    assert "restored after the fire" in said
    assert said.endswith("YES, but mind the notes.\n")
