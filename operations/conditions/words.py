"""Words of SQL in a condition: those that are understood, and why the others are not."""

from __future__ import annotations

from operations.catalogue.keywords import RESERVED
from operations.conditions.reader import Reader

CONNECTING = frozenset(
    {"and", "or", "not", "is", "null", "true", "false", "in", "like", "ilike", "between"}
    | {"distinct", "from"}
)
_SUBQUERY = "subqueries are not allowed."
_NOW = "of the functions of time only now() and current_timestamp are understood."
_REASONS = {
    "all": "write not in (...) for <> all.",
    "any": "write in (...) for = any.",
    "array": "arrays are not understood: write in (...), or the array in quotes: '{a,b}'.",
    "case": "case is not understood: write and, or and not.",
    "cast": "casts are not understood: write the value in quotes.",
    "collate": "collate is not understood.",
    "current_date": _NOW,
    "current_time": _NOW,
    "exists": _SUBQUERY,
    "isnull": "write is null.",
    "localtime": _NOW,
    "localtimestamp": _NOW,
    "notnull": "write is not null.",
    "select": _SUBQUERY,
    "similar": "similar to is not understood: write like.",
    "some": "write in (...) for = some.",
    "user": 'this is a function; to name a column, write "user".',
}


def guard_word(reader: Reader) -> None:
    """Refuses a word that comes next and that SQL keeps for itself."""
    lexeme = reader.next
    if lexeme.kind == "word" and lexeme.text in RESERVED:
        usual = f'this word of SQL is not understood here; to name a column, write "{lexeme.text}".'
        raise reader.refused(lexeme, _REASONS.get(lexeme.text, usual))


def guard_call(reader: Reader) -> None:
    """Refuses, too, the name of a function."""
    guard_word(reader)
    lexeme, following = reader.next, reader.after()
    if lexeme.kind in ("word", "name") and (following.kind, following.text) == ("symbol", "("):
        raise reader.refused(
            lexeme, _REASONS.get(lexeme.text, "no function may be called, except now().")
        )
