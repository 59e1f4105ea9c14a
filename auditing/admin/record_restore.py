"""Putting a version of a record back: what would change and what is in the way, then yes."""

from __future__ import annotations

from typing import Any

from auditing.admin.record import RESTORE
from auditing.admin.record_confirm import RecordConfirmView
from auditing.admin.record_words import DifferenceLine, difference_lines, version_name
from auditing.admin.words import who
from auditing.models import TrackedTable
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.versions import ColumnDifference, Version, version_by_seq
from auditing.services.record_restore import Restored, record_restore
from operations.admin.show import Fact, when

_WHAT = {
    "insert": "The row is not there: it comes back with its key.",
    "update": "The row becomes what it was.",
    "nothing": "The row is already what it was then: nothing would change.",
}
_DIGITS = 18


class RecordRestoreView(RecordConfirmView):
    """`?version=SEQ`. Nothing happens before the reason is posted."""

    permission = RESTORE
    template_name = "auditing/restore.html"
    button = "Restore this version"

    def not_now(self) -> str:
        tracked: TrackedTable = self.object
        seq = self.request.GET.get("version", "")
        if not seq.isdecimal() or len(seq) > _DIGITS:
            return "Choose a version to restore."
        if tracked.untracked_at is not None:
            return f"{tracked} is not audited any more: a restore would leave no version."
        self.version: Version = version_by_seq(tracked, self.record_id, int(seq))
        # Tried each time: the table may be another by the time they confirm.
        self.preview: Restored = record_restore(
            tracked=tracked,
            record_id=self.record_id,
            seq=self.version.seq,
            actor=self.person,
            dry_run=True,
        )
        return ""

    def act(self, reason: str) -> str:
        done = record_restore(
            tracked=self.object,
            record_id=self.record_id,
            seq=self.version.seq,
            actor=self.person,
            reason=reason,
        )
        number = self.version.number
        if done.action == "nothing":
            return f"Nothing changed: it was what it was in version {number} already."
        said = f"{self.object} {self.record_id}: version {number} restored. Reason: {reason}"
        self.model_admin.log_change(self.request, self.object, said)
        told = "is back" if done.action == "insert" else "is what it was"
        notes = "".join(f" {note}" for note in done.notes)
        return f"The record {told} in version {number}. That is a new version.{notes}"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        version, preview = self.version, self.preview
        self.title = f"{self.object} {self.record_id}"
        self.consequence = (
            f"{_WHAT[preview.action]} It makes a new version; the later ones stay, and can be "
            "restored the same way."
        )
        blocked = [f"{each.why}." for each in preview.obstacles]
        context = super().get_context_data(
            **kwargs,
            question=f"Restore {version_name(version)[0].lower()}{version_name(version)[1:]}?",
            facts_title="The version",
            facts=_facts(version),
            differences=_lines(shape_of(self.object), preview),
            is_missing=preview.action == "insert",
            notes=preview.notes,
            obstacles=[text[:1].upper() + text[1:] for text in blocked],
            is_blocked=bool(blocked) or preview.action == "nothing",
            hidden={},
        )
        return {**context, "original": f"{self.object} {self.record_id}"}


def _facts(version: Version) -> list[Fact]:
    context = version.context
    facts = [
        Fact("Made", when(version.at)),
        Fact("By", who(version.actor, context)),
    ]
    if context is not None and context.reason:
        facts.append(Fact("Reason", context.reason))
    if version.note is not None and version.note.comment:
        facts.append(Fact("Comment", version.note.comment))
    return facts


def _lines(shape: Shape, preview: Restored) -> list[DifferenceLine]:
    """What each column is and what it becomes; of a row that is not there only the latter."""
    attnums = {column.name: column.attnum for column in shape.columns if column.live is not None}
    found = [
        ColumnDifference(
            attnums.get(each.name, 0),
            each.name,
            each.live,
            each.restored,
            old_there=preview.action != "insert",
        )
        for each in preview.differences
    ]
    return difference_lines(shape, found)
