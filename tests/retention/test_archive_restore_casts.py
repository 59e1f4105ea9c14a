"""Whatever type a column has got: a value goes back as PostgreSQL's cast has it, or is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from django.db import DataError, NotSupportedError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.effort import examples

from .archiving import OLD, archive_of, restore

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]

_numbers = count(1)
VALUES: dict[str, list[str]] = {
    "int": ["0", "1", "-32769", "2147483647"],
    "numeric": ["0", "1.50", "1.25", "1e20", "NaN", "-1"],
    "double precision": ["0", "0.1", "1e300", "NaN"],
    "text": ["", "1", " 2 ", "1.25", "t", "2001-02-03", "{}", '{"a":1}', "ää", "[1,2)"],
    "timestamptz": ["2001-02-03 00:00+00", "2001-02-03 04:05:06.789+00", "infinity"],
    "date": ["2001-02-03", "-infinity", "0001-01-01 BC"],
    "boolean": ["true", "false"],
    "jsonb": ["1", "true", '"x"', '{"a": [1]}', "null"],
    "varchar(5)": ["", "abcde", "1"],
}
TYPES = ["smallint", "bigint", "numeric(4, 1)", "real", "text", "varchar(3)", "char(4)", "date",
         "timestamp", "timestamp(0)", "boolean", "jsonb", "json", "int4range", "bytea"]  # fmt: skip


def cast(execute: Execute, text: str | None, old: str, new: str) -> tuple[str | None, bool]:
    """What PostgreSQL makes of the value, and whether it could be made at all."""
    try:
        [(found,)] = execute(f"SELECT (%s::{old})::{new}::text", [text])
    except (DataError, NotSupportedError):
        return None, False
    return found, True


@given(data=st.data())
@settings(
    max_examples=examples(10),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_value_goes_back_as_the_cast_has_it_or_is_named(
    execute: Execute, data: st.DataObject
) -> None:
    old = data.draw(st.sampled_from(sorted(VALUES)))
    new = data.draw(st.sampled_from(TYPES))
    texts: list[str | None] = [*VALUES[old], None]
    execute("DROP TABLE IF EXISTS app.x")
    execute("SET TIME ZONE 'UTC'")
    execute(f"CREATE TABLE app.x (id int PRIMARY KEY, created_at timestamptz, v {old})")
    for number, text in enumerate(texts):
        execute(f"INSERT INTO app.x VALUES (%s, {OLD}, %s)", [number, text])
    archive = archive_of("x", name=f"x {next(_numbers)}")
    execute(f"ALTER TABLE app.x ALTER v TYPE {new} USING NULL")
    code, document = restore(archive)
    assert code in (0, 3), document.get("run", {}).get("error")
    refused = "error" in document
    if refused:
        assert code == 3
        assert "had the type" in document["error"]["message"]
    else:
        back = dict(execute("SELECT id, v::text FROM app.x"))
        named = {int(each["key"]) for each in document["conflicts"]}
        assert set(back) | named == set(range(len(texts)))
        assert not set(back) & named
        for number, text in enumerate(texts):
            found, possible = cast(execute, text, old, new)
            if number in back:
                assert (back[number], possible) == (found, True), text
            else:
                assert text is not None
        assert back[len(texts) - 1] is None
