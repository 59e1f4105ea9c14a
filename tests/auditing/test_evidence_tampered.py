"""What the verifier finds in evidence that somebody altered, though he has the console's own key.

Each alteration is made in a zip whose manifest is then signed anew: what is found is found by the
seals, the anchors and the chain, not by the hash of a file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.contrib.auth.models import User

from auditing.models import AuditEvent
from auditing.services.audit_seal import audit_seal
from auditing.services.evidence_export import evidence_export
from auditing.services.track import table_track
from operations.certificates.canonical import canonical
from operations.key_files import key_id_of, public_half
from operations.models import SigningKey
from operations.services.certificates import certificate_issue
from tests.auditing.evidence_kit import (
    Members,
    chain_made_anew,
    examine,
    lines_of,
    lines_put,
    members_of,
    private_key,
    signature,
    signed_anew,
    zip_made,
)

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
ORDERS = "rows/history.app__orders.jsonl"
NOT_AS_SEALED = "was changed, or added: not as sealed"


@pytest.fixture
def evidence(execute: Execute, person: User, tmp_path: Path) -> Members:
    """Three blocks with rows, a certificate, everything that an export has."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total numeric(10,2), note text)")
    tracked = table_track("app.orders", actor=person, reason="the law")
    for n in range(3):
        said = f"custody.set_context('4711', 'reason {n}', 'ada@example.org')"
        rows = f"INSERT INTO app.orders SELECT {n}0 + g, 1, 'a' FROM generate_series(1, 4) g"
        execute(f"BEGIN; SELECT {said}; {rows}; COMMIT")
        audit_seal()
    certificate = certificate_issue(kind="purge", subject="orders", body={"rows": 1}, run=None)
    AuditEvent.objects.create(
        kind="purge", tracked=tracked, actor="console:ada", certificate=certificate.number
    )
    out = tmp_path / "whole.zip"
    run = evidence_export(
        since=None,
        until=None,
        tables=["app.orders"],
        requester=person,
        reason="the court asked",
        out=out,
    )
    assert run.state == "succeeded", run.error
    code, said = examine(out, alone=tmp_path)
    assert code == 0, said
    assert "signed  certificate" in said
    return members_of(out)


@pytest.fixture
def key(evidence: Members) -> Ed25519PrivateKey:
    return private_key(Path(settings.CUSTODY_KEYS))


def row(change: Callable[[dict[str, Any]], None], name: str = ORDERS) -> Callable[[Members], None]:
    """The first row of a source is changed."""

    def alter(members: Members) -> None:
        lines = lines_of(members, name)
        change(next(line for line in lines if "leaf" in line))
        lines_put(members, name, lines)

    return alter


def meta(field: int, value: str, name: str = ORDERS) -> Callable[[Members], None]:
    def change(line: dict[str, Any]) -> None:
        fields = line["meta"].split("\t")
        assert fields[field] != value
        line["meta"] = "\t".join([*fields[:field], value, *fields[field + 1 :]])

    return row(change, name)


def value(line: dict[str, Any]) -> None:
    each = next(each for each in line["values"] if each[0].endswith("_total"))
    assert each[2] == "1.00"
    each[2] = "1.01"


def removed(line: dict[str, Any]) -> None:
    line["values"].pop()


def context_actor(line: dict[str, Any]) -> None:
    each = next(each for each in line["values"] if each[0] == "actor")
    each[2] = "app:somebody"


def drop_row(members: Members) -> None:
    lines = lines_of(members, ORDERS)
    lines_put(members, ORDERS, [each for n, each in enumerate(lines) if n != 1])


def add_row(members: Members) -> None:
    lines = lines_of(members, ORDERS)
    lines_put(members, ORDERS, [*lines[:2], {**lines[1], "leaf": 99}, *lines[2:]])


def twice(members: Members) -> None:
    lines = lines_of(members, ORDERS)
    lines_put(members, ORDERS, [*lines[:2], lines[1], *lines[2:]])


def swap(members: Members) -> None:
    lines = lines_of(members, ORDERS)
    one, other = lines[1]["values"], lines[2]["values"]
    lines[1]["values"], lines[2]["values"] = other, one
    lines_put(members, ORDERS, lines)


def header_text(members: Members) -> None:
    lines = lines_of(members, "headers.jsonl")
    lines[1]["header"] = lines[1]["header"].replace('"made_at":"20', '"made_at":"21')
    lines_put(members, "headers.jsonl", lines)


def header_missing(members: Members) -> None:
    lines = lines_of(members, "headers.jsonl")
    lines_put(members, "headers.jsonl", [each for n, each in enumerate(lines) if n != 1])


def last_missing(members: Members) -> None:
    lines_put(members, "headers.jsonl", lines_of(members, "headers.jsonl")[:-1])


def anchor_hash(members: Members) -> None:
    lines = lines_of(members, "anchors.jsonl")
    lines[1]["anchor"]["hash"] = "0" * 64
    lines_put(members, "anchors.jsonl", lines)


def certificate_body(members: Members) -> None:
    name = next(name for name in members if name.startswith("certificates/"))
    document = json.loads(members[name])
    document["certificate"]["body"]["rows"] = 2
    members[name] = json.dumps(document).encode()


def key_exchanged(members: Members) -> None:
    document = json.loads(members["keys.json"])
    other = Ed25519PrivateKey.generate()
    document["keys"][0]["public_key"] = base64.b64encode(public_half(other)).decode()
    members["keys.json"] = json.dumps(document).encode()


def not_utf8(members: Members) -> None:
    members[ORDERS] = members[ORDERS].replace(b'"leaf":0', b'"leaf":', 1)


def another_file(members: Members) -> None:
    members["rows/history.app__payments.jsonl"] = b""
    del members["summary.html"]


ALTERED = {
    "a value": (row(value), NOT_AS_SEALED),
    "a value taken out": (row(removed), NOT_AS_SEALED),
    "who (the role)": (meta(7, "nobody"), NOT_AS_SEALED),
    "when": (meta(4, "2020-01-01 00:00:00+00"), NOT_AS_SEALED),
    "what": (meta(3, "D"), NOT_AS_SEALED),
    "who (the context)": (
        row(context_actor, "rows/custody.auditing_changecontext.jsonl"),
        NOT_AS_SEALED,
    ),
    "the summary of a statement": (
        meta(5, "77", "rows/custody.auditing_changestatement.jsonl"),
        NOT_AS_SEALED,
    ),
    "a row taken out": (drop_row, "has 11 rows instead of 12"),
    "a row added": (add_row, NOT_AS_SEALED),
    "a row twice": (twice, NOT_AS_SEALED),
    "rows swapped": (swap, NOT_AS_SEALED),
    "a header": (header_text, "block 2: header is not what"),
    "a header taken out": (header_missing, "block 2 is missing from the headers"),
    "the last header taken out": (last_missing, "too early"),
    "an anchor": (anchor_hash, "anchors.jsonl, line 2 is not what"),
    "a certificate": (certificate_body, "certificate certificates/C-"),
    "the key": (key_exchanged, "was exchanged"),
    "something that is no JSON": (not_utf8, "cannot be read any further"),
}


def test_each_alteration_is_found_and_named_though_the_manifest_is_signed_anew(
    evidence: Members, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    answers = {}
    for what, (alter, named) in ALTERED.items():
        members = dict(evidence)
        alter(members)
        path = zip_made(signed_anew(members, key), tmp_path / "e.zip")
        code, said = examine(path, alone=tmp_path)
        answers[what] = code == 1 and named in said and "NO: " in said
    assert answers == dict.fromkeys(ALTERED, True)


def test_what_only_the_manifest_tells_is_found_by_its_signature(
    evidence: Members, tmp_path: Path
) -> None:
    for name in ("summary.html", "README.txt", "summary/app.orders.csv"):
        altered = {**evidence, name: evidence[name] + b" "}
        code, said = examine(zip_made(altered, tmp_path / "e.zip"), alone=tmp_path)
        assert (code, f"{name} was changed" in said) == (1, True), said
    document = json.loads(evidence["manifest.json"])
    document["manifest"]["asked"]["reason"] = "none"
    altered = {**evidence, "manifest.json": json.dumps(document).encode()}
    code, said = examine(zip_made(altered, tmp_path / "e.zip"), alone=tmp_path)
    assert (code, "manifest.json is not what" in said) == (1, True), said
    another_file(evidence)
    code, said = examine(zip_made(evidence, tmp_path / "e.zip"), alone=tmp_path)
    assert code == 1
    assert "rows/history.app__payments.jsonl: missing or added" in said
    assert "summary.html: missing or added" in said


def test_rows_taken_out_where_nothing_is_missing_are_found_though_the_counts_are_adjusted(
    evidence: Members, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    drop_row(evidence)
    counts = json.loads(evidence["manifest.json"])["manifest"]["counts"]
    altered = signed_anew(evidence, key, counts={**counts, "history.app__orders": 11})
    code, said = examine(zip_made(altered, tmp_path / "e.zip"), alone=tmp_path)
    assert code == 1
    assert "said to be whole, are missing" in said


def test_a_chain_that_was_made_anew_is_found_by_anchors_kept_elsewhere(
    evidence: Members, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    [file] = Path(settings.CUSTODY_ANCHORS).glob("*.jsonl")
    kept.write_bytes(file.read_bytes())
    code, said = examine(tmp_path / "whole.zip", "--anchors", kept, alone=tmp_path)
    assert code == 0, said

    def alter(header: dict[str, Any]) -> None:
        if header["number"] == 3:
            header["made_at"] = "2020-01-01T00:00:00+00:00"

    altered = chain_made_anew(evidence, key, alter)
    code, said = examine(zip_made(signed_anew(altered, key), tmp_path / "e.zip"), alone=tmp_path)
    assert code == 1
    assert "block 3 was another one when it was anchored" in said
    altered["anchors.jsonl"] = b""
    path = zip_made(signed_anew(altered, key), tmp_path / "f.zip")
    code, said = examine(path, alone=tmp_path)
    assert code == 0, "all that the examiner had was this zip"
    assert "no anchor names the last block" in said
    code, said = examine(path, "--anchors", kept, alone=tmp_path)
    assert code == 1
    assert "block 3 was another one when it was anchored" in said


def test_another_key_that_signs_everything_is_not_the_one_that_was_published(
    evidence: Members, tmp_path: Path
) -> None:
    published = SigningKey.objects.get().public_key
    other = Ed25519PrivateKey.generate()
    public = base64.b64encode(public_half(other)).decode()
    key_id = key_id_of(public_half(other))

    def alter(header: dict[str, Any]) -> None:
        header["key_id"] = key_id

    altered = chain_made_anew(evidence, other, alter)
    altered["anchors.jsonl"] = b""
    altered = {k: v for k, v in altered.items() if not k.startswith("certificates/")}
    altered["keys.json"] = json.dumps(
        {"keys": [{"key_id": key_id, "public_key": public}], "statements": []}
    ).encode()
    path = zip_made(signed_anew(altered, other, key_id=key_id), tmp_path / "e.zip")
    code, said = examine(path, alone=tmp_path)
    assert code == 0
    assert "to be compared by you" in said
    code, said = examine(path, "--key", published, alone=tmp_path)
    assert code == 1
    assert "the key that you gave signed nothing here" in said


def test_a_single_certificate_is_verified_and_an_altered_one_is_not(
    evidence: Members, tmp_path: Path
) -> None:
    name = next(name for name in evidence if name.startswith("certificates/"))
    path = tmp_path / "certificate.json"
    path.write_bytes(evidence[name])
    public = SigningKey.objects.get().public_key
    code, said = examine(path, alone=tmp_path)
    assert code == 0, said
    assert "to be compared by you" in said
    (tmp_path / "key.txt").write_text(f"{public}\n")
    assert examine(path, "--key", tmp_path / "key.txt", alone=tmp_path)[0] == 0
    certificate_body(evidence)
    path.write_bytes(evidence[name])
    code, said = examine(path, alone=tmp_path)
    assert (code, "was it changed" in said or "changed" in said) == (1, True)
    other = Ed25519PrivateKey.generate()
    document = json.loads(evidence[name])
    document["certificate"]["key_id"] = key_id_of(public_half(other))
    document["public_key"] = base64.b64encode(public_half(other)).decode()
    document["signature"] = signature(other, canonical(document["certificate"]))
    path.write_text(json.dumps(document))
    assert examine(path, alone=tmp_path)[0] == 0, "of another key it is intact"
    code, said = examine(path, "--key", public, alone=tmp_path)
    assert code == 1
    assert "the key that you gave signed nothing here" in said
