"""What a kind of run has to say for itself on its page; the app that has the kind registers it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.safestring import SafeString

from operations.admin.show import Fact, link, when_text
from operations.certificates.layout import label, shown
from operations.models import Run
from operations.runs.kinds import run_kinds


class RunPresenter:
    """Serves any kind: its plan and its result as they stand. Kinds that can say more override."""

    about: ClassVar[tuple[str, str] | None] = None
    """The parameter with the number of what the run works on, and the name of that page."""

    def subject(self, run: Run) -> str | SafeString:
        """What the run works on, with a link where there is a page."""
        if self.about is None:
            return run.subject
        parameter, page = self.about
        number = run.parameters.get(parameter)
        return run.subject if number is None else link(run.subject, page, number)

    def plan(self, run: Run) -> list[Fact]:
        """Everything a person has to read before they approve."""
        return [Fact(label(key), _shown(value)) for key, value in run.plan.items()]

    def warnings(self, run: Run) -> list[str]:
        """What is so unusual about the plan that whoever approves has to look twice."""
        return []

    def details(self, run: Run) -> SafeString:
        """HTML below all else: what more a person looks at before they approve."""
        return SafeString("")

    def outcome(self, run: Run) -> list[Fact]:
        """What came of it, apart from its certificates."""
        return [
            Fact(label(key), _shown(value))
            for key, value in run.result.items()
            if key != "certificate"
        ]


_presenters: dict[str, RunPresenter] = {}
_any = RunPresenter()


def register_presenter(kind: str, presenter: RunPresenter) -> None:
    _presenters[kind] = presenter


def presenter(run: Run) -> RunPresenter:
    return _presenters.get(run.kind, _any)


def kind_title(name: str) -> str:
    """`Purge` for `purge`; a kind that this console no longer knows keeps its name."""
    kind = run_kinds().get(name)
    return kind.title if kind is not None else name.replace("_", " ").capitalize()


def _shown(value: Any) -> str | SafeString:
    if isinstance(value, dict):
        return (
            "; ".join(f"{label(str(k)).lower()}: {_shown(v)}" for k, v in value.items()) or "none"
        )
    if isinstance(value, str):
        return when_text(value) if 0 < len(value) < 40 else value or "none"
    return shown("", value)
