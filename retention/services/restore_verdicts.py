"""The statements that tell, before anything is inserted, what stands in the way of which line.

A line gets one verdict, from the first statement that has something to say about it. All compare
by the operators of the table's own indexes and constraints; whether two rows are the same is asked
of their text, which every type has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.types import TableName
from operations.conditions.render import Text
from retention.selectors.restore_columns import RestoreColumn
from retention.selectors.restore_target import Match, RestoreTarget, domain_cast
from retention.services.restore_stage import STAGE, VERDICT, staged

UNDECIDED = sql.SQL("NOT EXISTS (SELECT FROM {} v WHERE v.line = s.line)").format(VERDICT)


@dataclass(frozen=True)
class Lines:
    """The lines after `after`, up to and with `upto`."""

    after: int
    upto: int

    def __len__(self) -> int:
        return self.upto - self.after

    def of(self, alias: str) -> sql.Composable:
        return sql.SQL("{line} > {after} AND {line} <= {upto}").format(
            line=sql.Identifier(alias, "line"),
            after=sql.Literal(self.after),
            upto=sql.Literal(self.upto),
        )


def row_text(parts: Sequence[sql.Composable]) -> sql.Composable:
    """A row of these as text, told apart byte by byte."""
    return sql.SQL('ROW({})::pg_catalog.text COLLATE pg_catalog."C"').format(
        sql.SQL(", ").join(parts)
    )


def given(each: RestoreColumn) -> sql.Composable:
    """What the archive has for the column, from the stage as `s`; labels as they are called now."""
    plain = sql.SQL("s.{}").format(staged(each.place))
    if not each.labels:
        return plain
    labels = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(_text(then), _text(now))
        for then, now in each.labels.items()
    )
    return sql.SQL("(CASE {} {} ELSE {} END)").format(plain, labels, plain)


def value(each: RestoreColumn) -> sql.Composable:
    """What is to go into the column."""
    return given(each) if each.conversion is None else each.conversion.of(given(each))


def values(target: RestoreTarget) -> list[sql.Composable]:
    return [value(each) for each in target.columns]


def names(target: RestoreTarget, alias: str = "") -> list[sql.Composable]:
    """The columns that take the values."""
    prefix = [alias] if alias else []
    return [Identifier(*prefix, each.column.name) for each in target.columns]


def record_id(target: RestoreTarget, *, readable: bool = True) -> sql.Composable:
    """The key's value as text, or a JSON array of several; NULL for a table without a key.

    Args:
        readable: `s` holds values of their types, not the archive's text.
    """
    parts: list[sql.Composable] = []
    for each in target.named_by:
        found = value(each) if readable else sql.SQL("s.{}").format(staged(each.place))
        parts.append(sql.SQL("{}::pg_catalog.text").format(found))
    if not parts:
        return sql.SQL("NULL::pg_catalog.text")
    if len(parts) == 1:
        return parts[0]
    return sql.SQL("pg_catalog.to_json(ARRAY[{}])::pg_catalog.text").format(
        sql.SQL(", ").join(parts)
    )


def verdicts(
    target: RestoreTarget, lines: Lines, *, rehearsed: Collection[TableName] | None
) -> Iterator[sql.Composable]:
    """In the order in which they are to be asked.

    Args:
        rehearsed: nothing is inserted in between, so parents in these tables may be missing.
    """
    for each in target.columns:
        if each.conversion is not None:
            yield _does_not_fit(target, lines, each)
    if target.key is not None:
        yield _there(target, lines, target.key)
    for unique in target.uniques:
        taken = sql.SQL("EXISTS (SELECT FROM {} l WHERE {})").format(
            target.rows_of, _equal(target, unique, unique.columns)
        )
        why = f"another row has taken its place under {quoted(unique.name)}"
        yield _conflict(lines, taken, why)
    for parent in target.parents:
        if rehearsed is not None and (parent.own or parent.table in rehearsed):
            continue
        filled = [
            sql.SQL("{} IS NOT NULL").format(value(target.takes(name))) for name in parent.columns
        ]
        found = _equal(target, parent.parent, parent.columns)
        missing = sql.SQL("{} AND NOT EXISTS (SELECT FROM {} l WHERE {})").format(
            sql.SQL(" AND ").join(filled), parent.table.sql, found
        )
        why = f"the row of {parent.table} that it refers to is missing ({quoted(parent.name)})"
        yield _conflict(lines, missing, why)


def _there(target: RestoreTarget, lines: Lines, key: Match) -> sql.Composable:
    """A live row has the key: it is the same, or a conflict that names the columns."""
    ours, live = values(target), names(target, "l")
    differing = [
        sql.SQL("CASE WHEN {} <> {} THEN {} END").format(
            row_text([live[place]]), row_text([ours[place]]), _text(quoted(each.column.name))
        )
        for place, each in enumerate(target.columns)
    ]
    return sql.SQL(
        "INSERT INTO {verdict} (line, conflict, why)"
        " SELECT s.line, NOT found.same, CASE WHEN found.same THEN ''"
        " ELSE 'is there already and differs in: ' || pg_catalog.array_to_string("
        "ARRAY[{differing}]::pg_catalog.text[], ', ') END"
        " FROM {stage} s JOIN {live} l ON {equal}"
        " CROSS JOIN LATERAL (SELECT {live_text} = {our_text} AS same OFFSET 0) found"
        " WHERE {lines} AND {undecided} ON CONFLICT DO NOTHING"
    ).format(
        verdict=VERDICT,
        differing=sql.SQL(", ").join(differing),
        stage=STAGE,
        live=target.rows_of,
        equal=_equal(target, key, key.columns),
        live_text=row_text(live),
        our_text=row_text(ours),
        lines=lines.of("s"),
        undecided=UNDECIDED,
    )


def _does_not_fit(target: RestoreTarget, lines: Lines, each: RestoreColumn) -> sql.Composable:
    # A composite whose fields are all NULL is a value, although IS NULL holds for it.
    lost = sql.SQL("{} IS DISTINCT FROM NULL AND {} IS NOT DISTINCT FROM NULL").format(
        given(each), value(each)
    )
    name = quoted(each.column.name)
    enum = target.staged[each.place].of_enum
    if not enum or each.column.base_kind != "enum":
        return _conflict(lines, lost, f"its {name} does not fit: it is {each.column.type} now")
    # A label is no value of anybody's: it can be told, and must be, to be mapped.
    why = sql.SQL("{} || {} || {}").format(
        _text(f"its {name} was "),
        sql.SQL("pg_catalog.quote_literal({})").format(given(each)),
        _text(f", which is no label of {each.column.type} now (--map {each.archived}:OLD=NEW)"),
    )
    return _conflict(lines, lost, why)


def _conflict(lines: Lines, condition: sql.Composable, why: str | sql.Composable) -> sql.Composable:
    """A verdict on every undecided line for which the condition on `s` holds."""
    return sql.SQL(
        "INSERT INTO {verdict} (line, conflict, why) SELECT s.line, true, {why}"
        " FROM {stage} s WHERE {lines} AND {undecided} AND {condition}"
    ).format(
        verdict=VERDICT,
        why=_text(why) if isinstance(why, str) else why,
        stage=STAGE,
        lines=lines.of("s"),
        undecided=UNDECIDED,
        condition=condition,
    )


def _equal(target: RestoreTarget, match: Match, ours: Sequence[str]) -> sql.Composable:
    """The row of `l` has, in the columns of the match, what goes into `ours`."""
    parts = []
    theirs = zip(match.columns, match.casts, match.operators, strict=True)
    for (column, cast, operator), name in zip(theirs, ours, strict=True):
        each = target.takes(name)
        parts.append(
            sql.SQL("{}{} {} {}{}").format(
                Identifier("l", column),
                cast,
                operator,
                value(each),
                domain_cast(each.column),
            )
        )
    return sql.SQL(" AND ").join(parts)


def _text(text: str) -> sql.Composable:
    return sql.SQL("{}::pg_catalog.text").format(Text(text))
