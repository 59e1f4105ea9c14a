"""A console in a folder of its own, used as a person uses it: by processes of `manage.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("CUSTODY_", "DATABASE_URL", "CELERY_", "DJANGO_", "SECRET_KEY", "PG")


@dataclass
class Console:
    """`url` and `broker` empty: the embedded ones in `var`."""

    var: Path
    url: str = ""
    broker: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        named = {"DATABASE_URL": self.url, "CELERY_BROKER_URL": self.broker}
        return {
            **kept,
            "CUSTODY_VAR": str(self.var),
            "CUSTODY_ENV_FILE": str(self.var / "no.env"),
            **{name: value for name, value in named.items() if value},
            **self.settings,
        }

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def manage(self, *words: str) -> str:
        """Its output; it must have ended well."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def agree(self, *words: str) -> None:
        """Proposes policies (`policy_import FILE`), and has another person approve them."""
        proposed = [each for each in self.document(*words)["policies"] if each["run"]]
        password = "a long enough password"
        self.settings["DJANGO_SUPERUSER_PASSWORD"] = password
        self.run("createsuperuser", "--noinput", "--username", "second", "--email", "")
        typed = [password, *[each["table"] for each in proposed if each["cautions"]], ""]
        runs = [str(each["run"]) for each in proposed]
        done = self.run("run_approve", *runs, "--user", "second", typed="\n".join(typed))
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def document(self, *words: str) -> dict[str, Any]:
        """What `--json` prints, also when something was found wrong."""
        done = self.run(*words, "--json")
        assert done.stdout.startswith("{"), f"{words}: {done.stdout}\n{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document


def address(url: str, **changes: str) -> str:
    """The address with another user or database, as a URL or as keywords."""
    return make_conninfo(**{**conninfo_to_dict(url), **changes})


def execute(url: str, *statements: str | sql.Composed) -> list[tuple[Any, ...]]:
    """Runs them one by one; the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements:
            cursor = session.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def program(name: str, folder: Path, url: str, *words: str, typed: str = "") -> str:
    """Runs psql, pg_dump ... of PostgreSQL; its output."""
    done = subprocess.run(
        [str(folder / name), *words, "--dbname", url],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, f"{name}: {done.stderr}"
    return done.stdout


def psql(folder: Path, url: str, script: str) -> str:
    return program(
        "psql", folder, url, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "-f", "-", typed=script
    )


def findings(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [check for check in document["checks"] if check["name"] == name]


def names_of_wrong(document: dict[str, Any]) -> Sequence[str]:
    return [check["name"] for check in document["checks"] if check["ok"] is False]
