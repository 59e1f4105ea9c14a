"""Cutting a condition into words exactly where PostgreSQL does, or not at all.

Only what a condition may hold is known; comments, other string forms, parameters and operators are
refused by name. Source: PostgreSQL's manual, section 4.1 "Lexical Structure".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from operations.catalogue.names import folded, unquoted
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.nodes import guard_text

_LETTER = r"A-Za-z_\u0080-\U0010ffff"
_LEXEMES = re.compile(
    rf"""
      (?P<space>[ \t\r\n\f]+)
    | (?P<prefixed>(?:[BENXbenx]|[Uu]&)'|[Uu]&")
    | (?P<string>'(?:[^']|'')*+')
    | (?P<name>"(?:[^"]|"")++")
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[Ee][+-]?[0-9]+)?(?P<junk>[{_LETTER}0-9$.]*))
    | (?P<word>[{_LETTER}][{_LETTER}0-9$]*)
    | (?P<symbol>::|[(),.])
    | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
    """,
    re.VERBOSE,
)
_OPERATORS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_SIGNS = {"+", "-"}
_PARAMETER = "parameters are not understood: write the value itself, a text in single quotes."
# What else can begin a word of SQL, and what a person is told about it.
_REASONS = {
    "'": "the quote is never closed.",
    '"': "the quote is never closed, or nothing is between the two.",
    ";": "a condition is one expression, without a semicolon.",
    "$": "dollar quotes and parameters are not understood: write the value in single quotes.",
    ":": _PARAMETER,
    "[": "arrays are not understood.",
    "]": "arrays are not understood.",
}

Kind = Literal["word", "name", "string", "number", "operator", "sign", "symbol", "end"]


@dataclass(frozen=True)
class Lexeme:
    kind: Kind
    text: str
    """A word in lower case, a name and a string without quotes, an operator in standard form."""
    start: int
    end: int
    """Where it stands in the text."""


def lexemes(text: str) -> list[Lexeme]:
    """The words of the text, the last of kind `end`.

    Raises:
        ConditionRefused: for anything that is no part of a condition.
    """
    guard_text(text)
    found: list[Lexeme] = []
    at = 0
    while at < len(text):
        match = _LEXEMES.match(text, at)
        if match is None:
            raise ConditionRefused(text[at:], _REASONS.get(text[at], "this is not understood."))
        if match["space"]:
            at = match.end()
            continue
        found.append(_lexeme(match))
        at = found[-1].end
    return [*found, Lexeme("end", "", len(text), len(text))]


def _lexeme(match: re.Match[str]) -> Lexeme:
    whole, start, end = match[0], match.start(), match.end()
    if match["string"]:
        return Lexeme("string", whole[1:-1].replace("''", "'"), start, end)
    if match["name"]:
        return Lexeme("name", unquoted(whole), start, end)
    if match["word"]:
        return Lexeme("word", folded(whole), start, end)
    if match["symbol"]:
        return Lexeme("symbol", whole, start, end)
    if match["operator"]:
        return _operator(whole, start)
    if match["number"] and not match["junk"]:
        return Lexeme("number", whole, start, end)
    if match["number"]:
        raise ConditionRefused(whole, "this is no number.")
    raise ConditionRefused(whole, "write the text or name in plain quotes.")


def _operator(run: str, start: int) -> Lexeme:
    if "--" in run or "/*" in run:
        raise ConditionRefused(run, "comments are not allowed in a condition.")
    # A sign that ends an operator of these characters is the next word: `a<-5`.
    while len(run) > 1 and run[-1] in "+-" and not set(run) & set("~!@#%^&|`?"):
        run = run[:-1]
    end = start + len(run)
    if run in _OPERATORS:
        return Lexeme("operator", _OPERATORS[run], start, end)
    if run in _SIGNS:
        return Lexeme("sign", run, start, end)
    if run[0] in "%?":
        raise ConditionRefused(run, _PARAMETER)
    raise ConditionRefused(run, "this operator is not understood; =, <>, <, <=, > and >= are.")
