"""Reading a condition from the text of an SQL expression: a small part of SQL, exactly as SQL.

    condition   = conjunction {OR conjunction}
    conjunction = negation {AND negation}
    negation    = NOT negation | ( condition ) | predicate
    predicate   = column                                   -- a boolean one
                | column (= | <> | < | <= | > | >=) value  -- or the other way round
                | column IS [NOT] (NULL | TRUE | FALSE | DISTINCT FROM value)
                | column [NOT] (LIKE | ILIKE) value
                | column [NOT] IN ( value {, value} )
                | column [NOT] BETWEEN value AND value

Whatever is read here means to PostgreSQL what the structure says: in this part of the grammar its
precedence leaves one reading only. Everything else is refused with the reason.
"""

from __future__ import annotations

from operations.catalogue.types import Column, Table
from operations.conditions.columns import known_column, reading_refused
from operations.conditions.cursor import Cursor
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.nodes import And, Comparison, Condition, Not, Or, Value
from operations.conditions.values import Given, read_value

_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
