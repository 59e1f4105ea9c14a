"""Reading the value that a column is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from operations.catalogue.types import Column
from operations.conditions.nodes import MAX_DIGITS, Scalar
from operations.conditions.reader import Reader
from operations.conditions.times import at_now, read_now
from operations.conditions.words import CONNECTING, guard_call, guard_word

# Names of types that PostgreSQL's grammar knows beside those of pg_type.
_TYPES = {
    "bigint": "int8",
    "boolean": "bool",
    "dec": "numeric",
    "decimal": "numeric",
    "float": "float8",
    "int": "int4",
    "integer": "int4",
    "real": "float4",
    "smallint": "int2",
}
# Without a length, these mean a length of one there.
_CUT = {"bit", "char", "character", "nchar"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Given:
    """A value with the type that was written to it, if any."""

    value: Scalar
    type: str = ""
    type_schema: str = ""

    def fits(self, column: Column) -> bool:
        """The written type changes nothing: the text means the same as one of the column's."""
        if not self.type:
            return True
        if self.type_schema not in ("", column.base_schema):
            return False
        if self.type == column.base_name:
            return True
        if self.type == "text":
            return column.base_name == "varchar"
        at_midnight = column.base_name in ("timestamp", "timestamptz")
        return self.type == "date" and at_midnight and bool(_DAY.fullmatch(str(self.value)))


def at_value(reader: Reader) -> bool:
    """What comes next can only be a value. A parenthesis may begin a condition as well."""
    lexeme = reader.next
    return (
        lexeme.kind in ("string", "number", "sign")
        or at_now(reader)
        or any(reader.at_words(word) for word in ("true", "false", "null"))
        or _at_typed(reader)
    )


def read_value(reader: Reader) -> Given:
    """The value that comes next, in any number of parentheses."""
    opened = 0
    while reader.took_symbol("("):
        opened += 1
    given = _read(reader)
    _guard_follower(reader)
    for _ in range(opened):
        reader.expect_symbol(")", "a value is one value, not a row or a calculation.")
        _guard_follower(reader)
    return given


def _guard_follower(reader: Reader) -> None:
    follower = reader.next
    if follower.kind == "sign" or follower.text == "::":
        raise reader.refused(follower, "calculations and casts are not understood.")
    if follower.kind == "string":
        raise reader.refused(follower, "two texts stand side by side: write one.")


def _read(reader: Reader) -> Given:
    if at_now(reader):
        return Given(read_now(reader))
    lexeme = reader.next
    if lexeme.kind == "word" and lexeme.text in ("true", "false"):
        return Given(reader.take().text == "true")
    if reader.at_words("null"):
        raise reader.refused(lexeme, "nothing equals NULL: write is null or is not null.")
    if lexeme.kind == "string":
        text = reader.take().text
        return _cast(reader, text) if reader.took_symbol("::") else Given(text)
    if lexeme.kind in ("sign", "number"):
        return Given(_number(reader))
    if _at_typed(reader):
        return Given(type=_type(reader), value=reader.take().text)
    guard_call(reader)
    if lexeme.kind in ("word", "name"):
        raise reader.refused(
            lexeme, "a column is compared with a value, not with another column or a calculation."
        )
    raise reader.refused(
        lexeme, "here a value is expected: a text in single quotes, a number, now()."
    )


def _at_typed(reader: Reader) -> bool:
    lexeme = reader.next
    return (
        lexeme.kind == "word" and lexeme.text not in CONNECTING and reader.after().kind == "string"
    )


def _cast(reader: Reader, text: str) -> Given:
    schema = ""
    if reader.after().text == ".":
        schema = reader.take().text
        reader.take()
    given = Given(text, _type(reader), schema)
    if reader.at_symbol("("):
        raise reader.refused(reader.next, "a type with a length is not understood.")
    return given


def _type(reader: Reader) -> str:
    lexeme = reader.next
    if lexeme.kind == "name":
        return reader.take().text
    if lexeme.kind != "word":
        raise reader.refused(lexeme, "here the name of a type is expected.")
    guard_word(reader)
    if lexeme.text in _CUT:
        raise reader.refused(lexeme, "this type cuts the text to a length of one: leave it out.")
    reader.take()
    return _TYPES.get(lexeme.text, lexeme.text)


def _number(reader: Reader) -> int | Decimal:
    negative = reader.next.kind == "sign" and reader.take().text == "-"
    lexeme = reader.next
    if lexeme.kind != "number":
        raise reader.refused(lexeme, "after a sign a number is expected.")
    if len(lexeme.text) > MAX_DIGITS:
        raise reader.refused(lexeme, f"a number has at most {MAX_DIGITS} digits.")
    text = reader.take().text
    if text.isdecimal():
        return -int(text) if negative else int(text)
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise reader.refused(lexeme, "this number is too large.") from error
    # The unary minus would round.
    return number.copy_negate() if negative else number
