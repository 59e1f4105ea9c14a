"""By which columns a person knows a row again: a name, a mail address, a number, a day.

What opens something, such as a password's hash or a token, is never among them.
"""

from __future__ import annotations

from collections.abc import Collection

from operations.catalogue.types import Column, Table
from operations.masking import is_document
from operations.masking_words import words

COLUMNS = 4
"""That stand for a row."""


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAMES = _listed(
    "name title label subject fullname firstname forename lastname surname nickname username "
    "login company recipient"
)
_MAIL = frozenset({"email", "mail"})
_NUMBERS = _listed("number no nr reference ref sku code invoice isbn iban vin barcode")
_PLACES = _listed("phone mobile tel telephone line1 street address city postcode zip")
_CODES = _listed("status state type kind plan role channel category")
_AMOUNTS = _listed("total amount price sum quantity balance value")
_DAYS = _listed("created placed ordered paid booked issued sent date day at on")
_SECRET = _listed(
    "password passwd pwd passphrase hash token secret salt otp pin cvv cvc credential credentials "
    "apikey cookie session signature fingerprint nonce csrf private bearer authorization"
)
_OWN = frozenset({"deleted_at", "deleted_by", "deletion_id"})
"""What soft delete adds is said by the page, not by the row."""


def is_secret(column: Column) -> bool:
    """Its name says that its values open something: nobody is shown them, nobody searches them."""
    return is_secret_name(column.name)


def is_secret_name(name: str) -> bool:
    return bool(words(name) & _SECRET)


def identifies(column: Column) -> bool:
    """By its name people look a row up: a name, a mail address, a number, a place, a telephone."""
    if is_secret(column) or column.name in _OWN:
        return False
    if column.category == "S":
        return names_somebody(column.name)
    return column.category == "N" and bool(words(column.name) & _NUMBERS)


def names_somebody(name: str) -> bool:
    """A column of this name tells one row from another: `email`, `order_number`, `city`."""
    return bool(words(name) & (_NAMES | _MAIL | _NUMBERS | _PLACES))


def readable_columns(
    table: Table, *, most: int = COLUMNS, without: Collection[str] = ()
) -> tuple[Column, ...]:
    """The columns that stand for a row besides its key, the most telling first; maybe none.

    Args:
        without: the names of columns that are not to be shown, whatever they say.
    """
    key = set(table.key.columns) if table.key else set()
    refers = {name for each in table.foreign_keys for name in each.columns}
    ranked = [
        (rank, column.position, column)
        for column in table.columns
        if column.name not in without and (rank := _rank(column, key, refers)) is not None
    ]
    return tuple(column for _, _, column in sorted(ranked, key=lambda each: each[:2])[:most])


def _rank(column: Column, key: Collection[str], refers: Collection[str]) -> int | None:
    """How telling the column is, 0 the most; None for one that tells nothing or too much."""
    if column.name in _OWN or column.name in key or is_secret(column) or is_document(column):
        return None
    if column.generated and column.category == "S":
        # Made for searching, of a column that says the same.
        return None
    if column.category not in ("S", "N", "D", "B", "I") and column.base_kind != "enum":
        return None
    named = words(column.name)
    ranks: list[tuple[bool, int]] = [
        (column.name in refers or column.category in ("B", "I"), 9),
        (column.category == "S" and bool(named & _NAMES), 0),
        (column.category == "S" and bool(named & _MAIL), 1),
        (bool(named & _NUMBERS), 2),
        (column.category == "S" and bool(named & _PLACES), 3),
        (bool(named & _CODES), 4),
        (column.category == "N" and bool(named & _AMOUNTS), 5),
        (column.category == "D" and bool(named & _DAYS), 6),
        (column.category == "S", 7),
    ]
    return next((rank for fits, rank in ranks if fits), 8)
