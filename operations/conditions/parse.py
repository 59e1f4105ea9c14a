"""Reading a condition from the text of an SQL expression: a small part of SQL, exactly as SQL.

    condition   = conjunction {OR conjunction}
    conjunction = negation {AND negation}
    negation    = NOT negation | ( condition ) | predicate
    predicate   = column                                    (a boolean one)
                | column (= | <> | < | <= | > | >=) value   (or the other way round)
                | column IS [NOT] (NULL | TRUE | FALSE | DISTINCT FROM value)
                | column [NOT] (LIKE | ILIKE) value
                | column [NOT] IN ( value {, value} )
                | column [NOT] BETWEEN value AND value

In this part of SQL PostgreSQL's precedence leaves one reading only. Whatever goes beyond it is
refused with the reason.
"""

from __future__ import annotations

from operations.catalogue.types import Column, Table
from operations.conditions.columns import read_column
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.lexemes import Lexeme
from operations.conditions.nodes import (
    MAX_DEPTH,
    And,
    Comparison,
    Condition,
    Not,
    Or,
    Scalar,
    depth,
)
from operations.conditions.reader import Reader
from operations.conditions.values import Given, at_value, read_value
from operations.conditions.words import guard_word

_TOO_DEEP = f"and, or and not are nested more than {MAX_DEPTH} deep."
# In parentheses, and one for each NOT, as `describe` writes them.
_MAX_NESTING = 3 * MAX_DEPTH
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def parse_condition(text: str, table: Table) -> Condition:
    """The condition that an SQL expression over the table's columns says.

    Whether its values are good ones for the columns is left to `check_condition`.

    Raises:
        ConditionRefused: with the piece in question and the reason.
    """
    condition = _Parser(text, table).whole()
    if depth(condition) > MAX_DEPTH:
        raise ConditionRefused(text, _TOO_DEEP)
    return condition


class _Parser:
    def __init__(self, text: str, table: Table) -> None:
        self._reader = Reader(text)
        self._table = table
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._condition()
        if self._reader.next.kind != "end":
            raise self._reader.refused(self._reader.next, "here and, or or the end is expected.")
        return condition

    def _condition(self) -> Condition:
        parts = [self._conjunction()]
        while self._reader.took_words("or"):
            parts.append(self._conjunction())
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._reader.took_words("and"):
            parts.append(self._negation())
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _negation(self) -> Condition:
        reader = self._reader
        opening = reader.next
        if not (reader.at_words("not") or reader.at_symbol("(")):
            return self._predicate()
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise reader.refused(opening, _TOO_DEEP)
        reader.take()
        if opening.text == "not":
            condition: Condition = Not(self._negation())
        else:
            condition = self._condition()
            reader.expect_symbol(")", "here and, or or a closing parenthesis is expected.")
        self._depth -= 1
        return condition

    def _predicate(self) -> Condition:
        reader = self._reader
        start = reader.next
        if at_value(reader):
            return self._mirrored()
        column = read_column(reader, self._table)
        if reader.next.kind == "operator":
            operator = reader.take().text
            return Comparison(column.name, operator, self._value(column))
        if reader.took_words("is"):
            return self._statement(column)
        negated = reader.took_words("not")
        for word in ("like", "ilike", "in", "between"):
            if reader.took_words(word):
                return self._matched(column, word, negated=negated)
        if negated:
            raise reader.refused(
                reader.next, "after not, here in, like, ilike or between is expected."
            )
        return self._alone(column, start)

    def _alone(self, column: Column, start: Lexeme) -> Condition:
        reader = self._reader
        following = reader.next
        if (
            reader.at_words("and")
            or reader.at_words("or")
            or following.kind == "end"
            or reader.at_symbol(")")
        ):
            if column.base_type != "bool":
                raise reader.refused(
                    start, f"{column.name} is no boolean: compare it with a value."
                )
            return Comparison(column.name, "=", True)
        guard_word(reader)
        if following.kind == "sign":
            raise reader.refused(
                start, "calculations are not understood: move them to the value's side."
            )
        raise reader.refused(following, "after a column an operator is expected.")

    def _mirrored(self) -> Condition:
        reader = self._reader
        start = reader.next
        given = read_value(reader)
        if reader.next.kind != "operator":
            raise reader.refused(start, "a value alone is no condition: compare a column with it.")
        operator = _MIRRORED[reader.take().text]
        if at_value(reader):
            raise reader.refused(start, "two values are compared: compare a column with a value.")
        column = read_column(reader, self._table)
        return Comparison(column.name, operator, self._fitting(column, given, start.start))

    def _statement(self, column: Column) -> Condition:
        reader = self._reader
        negation = "not " if reader.took_words("not") else ""
        for word in ("null", "true", "false"):
            if reader.took_words(word):
                return Comparison(column.name, f"is {negation}{word}")
        if reader.took_words("distinct", "from"):
            return Comparison(column.name, f"is {negation}distinct from", self._value(column))
        raise reader.refused(
            reader.next, "after is, here null, true, false or distinct from is expected."
        )

    def _matched(self, column: Column, word: str, *, negated: bool) -> Condition:
        operator = f"not {word}" if negated else word
        if word == "between":
            low = self._value(column)
            if not self._reader.took_words("and"):
                raise self._reader.refused(
                    self._reader.next, "here and is expected: between 1 and 5."
                )
            between = Comparison(column.name, word, (low, self._value(column)))
            return Not(between) if negated else between
        if word == "in":
            return Comparison(column.name, operator, self._list(column))
        return Comparison(column.name, operator, self._value(column))

    def _list(self, column: Column) -> tuple[Scalar, ...]:
        reader = self._reader
        reader.expect_symbol("(", "after in, values stand in parentheses: in ('a', 'b').")
        values = [self._value(column)]
        while reader.took_symbol(","):
            values.append(self._value(column))
        reader.expect_symbol(")", "here a comma or a closing parenthesis is expected.")
        return tuple(values)

    def _value(self, column: Column) -> Scalar:
        start = self._reader.next.start
        return self._fitting(column, read_value(self._reader), start)

    def _fitting(self, column: Column, given: Given, start: int) -> Scalar:
        if not given.fits(column):
            raise ConditionRefused(
                self._reader.since(start),
                f"{column.name} is of type {column.type}: leave the value's type out.",
            )
        return given.value
