"""Edits of a sealed log as whoever administers the database could make them, each told apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from auditing.services.verify_work import work_do, works

Execute = Callable[..., list[tuple[Any, ...]]]
Edit = Callable[[Execute, random.Random], None]

HISTORY = "history.app__orders"
TABLES = (
    # The others after it: its triggers always fire.
    "app.orders",
    HISTORY,
    *(
        f"custody.auditing_{name}"
        for name in (
            "changecontext", "changestatement", "changetransaction", "auditevent", "sealblock",
            "sealsection", "removal",
        )
    ),
)  # fmt: skip
_SILENT = "SET session_replication_role = replica"
_LOUD = "SET session_replication_role = origin"


def findings() -> list[Any]:
    """Everything that a verification finds."""
    return [
        each
        for work in works(first=0, tracked=None, last=None, using="default")
        for each in work_do(work, "default").findings
    ]


@contextmanager
def copied(execute: Execute) -> Iterator[Callable[[], None]]:
    """Remembers the tables; the function that it gives puts everything back."""
    execute("CREATE SCHEMA tampered")
    for place, table in enumerate(TABLES):
        execute(f"CREATE TABLE tampered.t{place} AS TABLE {table}")

    def back() -> None:
        execute(_SILENT)
        for place, table in enumerate(TABLES):
            execute(f"DELETE FROM {table}")
            execute(f"INSERT INTO {table} SELECT * FROM tampered.t{place}")
        execute(_LOUD)
        execute("UPDATE pg_trigger SET tgenabled = 'A' WHERE tgname LIKE 'custody_audit_%'")

    yield back
    execute("DROP SCHEMA tampered CASCADE")


def one(execute: Execute, chance: random.Random, query: str) -> Any:
    """One of the values of the only column."""
    return chance.choice(sorted(execute(query)))[0]


def version(execute: Execute, chance: random.Random, ops: str = "IUD") -> int:
    listed = ",".join(f"'{op}'" for op in ops)
    seq: int = one(execute, chance, f"SELECT seq FROM {HISTORY} WHERE op IN ({listed})")
    return seq


def _version_set(assignment: str, ops: str = "IUD") -> Edit:
    def edit(execute: Execute, chance: random.Random) -> None:
        execute(f"UPDATE {HISTORY} SET {assignment} WHERE seq = {version(execute, chance, ops)}")

    return edit


def _row_set(table: str, key: str, assignment: str, where: str = "true") -> Edit:
    def edit(execute: Execute, chance: random.Random) -> None:
        row = one(execute, chance, f"SELECT {key} FROM custody.auditing_{table} WHERE {where}")
        execute(f"UPDATE custody.auditing_{table} SET {assignment} WHERE {key} = {row}")

    return edit


def _row_delete(table: str, key: str) -> Edit:
    def edit(execute: Execute, chance: random.Random) -> None:
        row = one(execute, chance, f"SELECT {key} FROM custody.auditing_{table}")
        execute(_SILENT)
        execute(f"DELETE FROM custody.auditing_{table} WHERE {key} = {row}")
        execute(_LOUD)

    return edit


def _version_delete(execute: Execute, chance: random.Random) -> None:
    execute(f"DELETE FROM {HISTORY} WHERE seq = {version(execute, chance)}")


def _version_insert(execute: Execute, chance: random.Random) -> None:
    seq = version(execute, chance)
    execute(f"CREATE TEMPORARY TABLE forged AS SELECT * FROM {HISTORY} WHERE seq = {seq}")
    execute('UPDATE forged SET seq = 900000000 + seq, "2_total" = 4711')
    execute(f"INSERT INTO {HISTORY} SELECT * FROM forged")
    execute("DROP TABLE forged")


def _version_twice(execute: Execute, chance: random.Random) -> None:
    seq = version(execute, chance)
    execute(f"INSERT INTO {HISTORY} SELECT * FROM {HISTORY} WHERE seq = {seq}")


def _swap(execute: Execute, chance: random.Random) -> None:
    pairs = execute(
        f"SELECT a.seq, b.seq FROM {HISTORY} a JOIN {HISTORY} b ON a.seq < b.seq"
        " AND a.op <> 'B' AND b.op <> 'B' AND a.\"2_total\" IS DISTINCT FROM b.\"2_total\""
    )
    first, second = chance.choice(sorted(pairs))
    execute(
        f'UPDATE {HISTORY} h SET "2_total" = o."2_total" FROM {HISTORY} o'
        f" WHERE (h.seq, o.seq) IN (({first}, {second}), ({second}, {first}))"
    )


def _numbers_swapped(execute: Execute, chance: random.Random) -> None:
    seqs = [seq for (seq,) in execute(f"SELECT seq FROM {HISTORY} WHERE op <> 'B'")]
    first, second = chance.sample(sorted(seqs), 2)
    execute(f"UPDATE {HISTORY} SET seq = {first} + {second} - seq WHERE seq IN ({first}, {second})")


def _image_delete(execute: Execute, chance: random.Random) -> None:
    key = one(execute, chance, f"SELECT \"1_id\" FROM {HISTORY} WHERE op = 'B'")
    execute(f"DELETE FROM {HISTORY} WHERE op = 'B' AND \"1_id\" = {key}")


def _image_set(execute: Execute, chance: random.Random) -> None:
    key = one(execute, chance, f"SELECT \"1_id\" FROM {HISTORY} WHERE op = 'B'")
    execute(f"UPDATE {HISTORY} SET \"3_note\" = 'never' WHERE op = 'B' AND \"1_id\" = {key}")


def _block_delete(execute: Execute, chance: random.Random) -> None:
    number = one(execute, chance, "SELECT number FROM custody.auditing_sealblock")
    execute(f"DELETE FROM custody.auditing_sealsection WHERE block_id = {number}")
    execute(f"DELETE FROM custody.auditing_sealblock WHERE number = {number}")


def _rewind(execute: Execute, chance: random.Random) -> None:
    """Blocks and rows alike are as they were: only what is outside can tell."""
    execute(_SILENT)
    number = one(execute, chance, "SELECT number FROM custody.auditing_sealblock")
    sections = execute(
        "SELECT source, ids FROM custody.auditing_sealsection WHERE form IN ('version', 'row')"
        f" AND block_id >= {number}"
    )
    for source, ids in sections:
        key = {"custody.auditing_changetransaction": "xid"}.get(source, "id")
        key = "seq" if source.startswith("history.") else key
        execute(f"DELETE FROM {source} WHERE {key} = ANY (ARRAY[{','.join(map(str, ids))}])")
    execute(f"DELETE FROM custody.auditing_sealsection WHERE block_id >= {number}")
    execute(f"DELETE FROM custody.auditing_sealblock WHERE number >= {number}")
    execute(_LOUD)


def _removal_forged(execute: Execute, chance: random.Random) -> None:
    seq = version(execute, chance)
    execute(f"DELETE FROM {HISTORY} WHERE seq = {seq}")
    execute(
        "INSERT INTO custody.auditing_removal (kind, tracked_id, run_id, at, numbers, images,"
        f" versions) SELECT 'purged', max(id), 1, now(), ARRAY[[{seq}, {seq}]]::bigint[], '{{}}', 1"
        " FROM custody.auditing_trackedtable WHERE history_name = 'app__orders'"
    )


def silently(execute: Execute, statement: str) -> None:
    """As a superuser would: with the event trigger off, which would put the triggers back."""
    execute("ALTER EVENT TRIGGER custody_audit_ddl DISABLE")
    execute("ALTER TABLE app.orders DISABLE TRIGGER ALL")
    execute(statement)
    for each in ("insert", "update", "delete", "truncate"):
        execute(f"ALTER TABLE app.orders ENABLE ALWAYS TRIGGER custody_audit_{each}")
    execute("ALTER EVENT TRIGGER custody_audit_ddl ENABLE")


def _silently(statement: str) -> Edit:
    def edit(execute: Execute, chance: random.Random) -> None:
        key = one(execute, chance, "SELECT id FROM app.orders")
        silently(execute, statement.format(key=key))

    return edit


def _trigger_off(execute: Execute, chance: random.Random) -> None:
    # Not by ALTER TABLE: the event trigger would put it back.
    execute(
        "UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'custody_audit_update'"
        " AND tgrelid = 'app.orders'::regclass"
    )


def _function_replaced(execute: Execute, chance: random.Random) -> None:
    execute(
        "CREATE OR REPLACE FUNCTION history.app__orders_capture() RETURNS trigger"
        " LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END'"
    )


_FLIP = "hashes = set_byte(hashes, {at}, get_byte(hashes, {at}) # 1)"

EDITS: dict[str, tuple[Edit, set[str]]] = {
    "a value": (_version_set('"2_total" = COALESCE("2_total", 0) + 1'), {"altered"}),
    "a value made NULL": (_version_set('"2_total" = NULL', "I"), {"altered"}),
    "a value of another column": (_version_set("\"3_note\" = 'other'"), {"altered"}),
    "a value set aside": (_version_set("rest = '{\"9\": \"x\"}'"), {"altered"}),
    "the role": (_version_set("db_user = 'somebody'"), {"altered"}),
    "the address": (_version_set("client = '10.1.1.1'"), {"altered"}),
    "the time": (_version_set("at = at + interval '1 microsecond'"), {"altered"}),
    "the operation": (_version_set("op = 'D'", "IU"), {"altered"}),
    "the statement": (_version_set("statement = statement + 1"), {"altered"}),
    "the transaction": (_version_set("xid = xid - 1"), {"altered"}),
    "a transaction to come": (_version_set("xid = xid + 1000000"), {"altered"}),
    "the context": (_version_set("context = COALESCE(context, 0) + 1"), {"altered"}),
    "changed columns": (_version_set("changed = '111'"), {"altered"}),
    "a number": (_version_set("seq = seq + 900000000"), {"added", "missing"}),
    "a version deleted": (_version_delete, {"missing"}),
    "a version added": (_version_insert, {"added"}),
    "a version twice": (_version_twice, {"added"}),
    "values of two swapped": (_swap, {"altered"}),
    "numbers of two swapped": (_numbers_swapped, {"altered"}),
    "an image": (_image_set, {"altered"}),
    "an image deleted": (_image_delete, {"missing"}),
    "who it was": (_row_set("changecontext", "id", "actor = 'app:other'"), {"altered"}),
    "why it was": (_row_set("changecontext", "id", "reason = 'other'"), {"altered"}),
    "a context deleted": (_row_delete("changecontext", "id"), {"missing"}),
    "a summary": (_row_set("changestatement", "id", "rows = rows + 1"), {"altered"}),
    "who a summary tells of": (
        _row_set("changestatement", "id", "actor = 'app:other'"),
        {"altered"},
    ),
    "a summary deleted": (_row_delete("changestatement", "id"), {"missing"}),
    "a transaction's summary": (
        _row_set("changetransaction", "xid", "rows = rows + 1"),
        {"altered"},
    ),
    "an event": (_row_set("auditevent", "id", "reason = 'other'"), {"altered"}),
    "a whole block": (_block_delete, {"chain", "anchor", "added"}),
    "a header": (
        _row_set("sealblock", "number", "header = replace(header, '\"root\":\"', '\"root\":\"0')"),
        {"chain"},
    ),
    "a header's form": (_row_set("sealblock", "number", "header = header || ' '"), {"chain"}),
    "a hash": (_row_set("sealblock", "number", "hash = reverse(hash)"), {"chain", "anchor"}),
    "a signature": (
        _row_set("sealblock", "number", "signature = replace(signature, left(signature, 1), '_')"),
        {"chain"},
    ),
    "when it was sealed": (
        _row_set("sealblock", "number", "made_at = made_at - interval '1 day'"),
        {"chain"},
    ),
    "a leaf": (_row_set("sealsection", "id", _FLIP.format(at=3)), {"chain"}),
    "a list of numbers": (_row_set("sealsection", "id", "ids[1] = ids[1] + 800000000"), {"added"}),
    "a list of names": (
        _row_set("sealsection", "id", "names[1] = 'x'", "cardinality(names) > 0"),
        {"chain"},
    ),
    "a secret": (
        _row_set(
            "sealsection", "id", "secret = set_byte(secret, 1, get_byte(secret, 1) # 1)",
            "cardinality(names) > 0 AND form = 'version'",
        ),
        {"altered"},
    ),
    "when a section is of": (
        _row_set("sealsection", "id", "last_at = last_at - interval '1 year'", "last_at NOTNULL"),
        {"chain"},
    ),
    "a section deleted": (_row_delete("sealsection", "id"), {"chain", "added"}),
    "the database rewound": (_rewind, {"anchor"}),
    "a removal forged": (_removal_forged, {"proof"}),
    "a row changed in silence": (
        _silently("UPDATE app.orders SET total = total + 1 WHERE id = {key}"),
        {"live"},
    ),
    "a row deleted in silence": (_silently("DELETE FROM app.orders WHERE id = {key}"), {"live"}),
    "a row added in silence": (_silently("INSERT INTO app.orders VALUES (-{key}, 1)"), {"live"}),
    "a trigger off": (_trigger_off, {"capture"}),
    "the capture replaced": (_function_replaced, {"capture"}),
}  # fmt: skip
"""What is edited, how, and of which kinds a finding has to be among others."""
