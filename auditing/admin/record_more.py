"""What other apps know of a record, on its page: they register here, and the audit knows none.

The bin says so that the record lies in it, or lets it be deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.safestring import SafeString

from auditing.models import TrackedTable


@dataclass(frozen=True)
class Button:
    """A link of the page's head; what it leads to asks before anything is done."""

    text: str
    url: str
    icon: str
    variant: str = ""


@dataclass(frozen=True)
class RecordMore:
    badges: tuple[SafeString, ...] = ()
    """How the record stands, instead of what its last version says."""
    buttons: tuple[Button, ...] = ()


Source = Callable[[HttpRequest, TrackedTable, str], RecordMore]
"""Asked with the record's id whenever its page is shown; answers for the person who asks."""

_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """The same name again replaces it."""
    _sources[name] = source


def record_more(request: HttpRequest, tracked: TrackedTable, record_id: str) -> RecordMore:
    found = [source(request, tracked, record_id) for source in _sources.values()]
    return RecordMore(
        tuple(badge for each in found for badge in each.badges),
        tuple(button for each in found for button in each.buttons),
    )
