"""Evidence as an examiner has it: the verifier runs alone, and zips are tampered with."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from auditing.services.evidence_write import VERIFIER
from operations.certificates.canonical import canonical

Members = dict[str, bytes]
Line = dict[str, Any]


def examine(*arguments: object, alone: Path) -> tuple[int, str]:
    """What the verifier says, in an isolated Python that finds nothing of ours.

    Args:
        alone: a folder to work in, of which nothing can be imported.
    """
    script = alone / "verify_evidence.py"
    if not script.exists():
        script.write_bytes(VERIFIER.read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", str(script), *map(str, arguments)],
        cwd=alone,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def lines_of(members: Members, name: str) -> list[Line]:
    return [json.loads(line) for line in members[name].splitlines()]


def lines_put(members: Members, name: str, lines: list[Line]) -> None:
    members[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def zip_made(members: Members, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def private_key(folder: Path) -> Ed25519PrivateKey:
    """The console's own key: the strongest who may tamper has it."""
    path = next(folder.glob("signing-*.pem"))
    key = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def signature(key: Ed25519PrivateKey, data: bytes) -> str:
    return base64.b64encode(key.sign(data)).decode()


def signed_anew(members: Members, key: Ed25519PrivateKey, **changes: Any) -> Members:
    """The manifest made again for what the members are now, by whoever has the key."""
    document = json.loads(members["manifest.json"])
    manifest = {**document["manifest"], **changes}
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in members.items()
        if name != "manifest.json"
    }
    document = {"manifest": manifest, "signature": signature(key, canonical(manifest))}
    return {**members, "manifest.json": json.dumps(document).encode()}


def chain_made_anew(
    members: Members, key: Ed25519PrivateKey, alter: Callable[[Line], None]
) -> Members:
    """All headers signed and chained again after `alter` changed some: needs the key."""
    previous, found = "0" * 64, []
    for line in lines_of(members, "headers.jsonl"):
        header = json.loads(line["header"])
        alter(header)
        text = canonical({**header, "previous": previous})
        previous = hashlib.sha256(text).hexdigest()
        found.append({"header": text.decode(), "signature": signature(key, text)})
    lines_put(members, "headers.jsonl", found)
    return members
