"""A place in the text of a condition, moving to its end."""

from __future__ import annotations

from operations.conditions.exceptions import ConditionRefused
from operations.conditions.lexemes import Lexeme, lexemes


class Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self._lexemes = lexemes(text)
        self._at = 0

    @property
    def next(self) -> Lexeme:
        return self._lexemes[self._at]

    def after(self, places: int = 1) -> Lexeme:
        return self._lexemes[min(self._at + places, len(self._lexemes) - 1)]

    def take(self) -> Lexeme:
        taken = self.next
        if taken.kind != "end":
            self._at += 1
        return taken

    def at_words(self, *words: str) -> bool:
        """These words, one after another, come next."""
        return all(
            self.after(place).kind == "word" and self.after(place).text == word
            for place, word in enumerate(words)
        )

    def at_symbol(self, symbol: str) -> bool:
        return self.next.kind == "symbol" and self.next.text == symbol

    def took_words(self, *words: str) -> bool:
        """Takes the words if they come next."""
        found = self.at_words(*words)
        if found:
            self._at += len(words)
        return found

    def took_symbol(self, symbol: str) -> bool:
        found = self.at_symbol(symbol)
        if found:
            self._at += 1
        return found

    def expect_symbol(self, symbol: str, reason: str) -> None:
        if not self.took_symbol(symbol):
            raise self.refused(self.next, reason)

    def since(self, start: int) -> str:
        """The text from `start` to what was taken last."""
        return self.text[start : self._lexemes[self._at - 1].end]

    def refused(self, lexeme: Lexeme, reason: str) -> ConditionRefused:
        """The error that refuses what begins at this lexeme."""
        if lexeme.kind == "end":
            return ConditionRefused(self.text, f"it ends too early; {reason}")
        return ConditionRefused(self.text[lexeme.start :], reason)
