"""Signing keys: since when, until when, how each stands. The private halves are never here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operations.admin.base import ReadOnlyAdmin
from operations.admin.show import Fact, badge, clock, code, when
from operations.models import SigningKey
from operations.selectors.keys import KeyStanding, fingerprint, key_standing, keys_standing

_STATES = {
    "current": ("Current", "success"),
    "missing": ("Its file is missing", "danger"),
    "retired": ("Retired", ""),
    "lost": ("Lost", "warning"),
    "compromised": ("Leaked", "danger"),
}


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    """The public halves, for whoever verifies a certificate, a block or evidence elsewhere."""

    page_template = "custody/page.html"
    payload = ("statements", "reason")
    list_display = ("key_id", "created", "retired", "fingerprint_shown")

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        states = {each.key.pk: each for each in keys_standing(uses=False)}

        @admin.display(description="State")
        def state(key: SigningKey) -> SafeString | str:
            return _state(states[key.pk]) if key.pk in states else ""

        first, *others = self.list_display
        return (first, state, *others)

    @admin.display(description="Since", ordering="created_at")
    def created(self, key: SigningKey) -> SafeString | str:
        return when(key.created_at)

    @admin.display(description="Until", ordering="retired_at")
    def retired(self, key: SigningKey) -> SafeString | str:
        return when(key.retired_at, empty="in use")

    @admin.display(description="Fingerprint")
    def fingerprint_shown(self, key: SigningKey) -> SafeString | str:
        return code(in_groups(fingerprint(key.public_key)))

    def page(self, request: HttpRequest, obj: SigningKey) -> dict[str, Any]:
        standing = key_standing(obj, uses=False)
        facts = [
            Fact("Key", code(obj.key_id)),
            Fact(
                "Fingerprint", code(in_groups(standing.fingerprint)), "SHA-256, compare it by eye"
            ),
            Fact("Public key", code(obj.public_key), "Ed25519, 32 bytes, base64"),
            Fact("Since", clock(obj.created_at)),
            Fact("Until", when(obj.retired_at, empty="in use")),
        ]
        if obj.reason:
            facts.append(Fact("Reason", obj.reason))
        if obj.compromised_since is not None:
            hint = "what it signed since then is not believed"
            facts.append(Fact("Counts as leaked since", clock(obj.compromised_since), hint))
        facts.append(Fact("What it signed", code("manage.py key_list"), "counts it"))
        return {"badges": [_state(standing)], "facts": facts}


def in_groups(text: str) -> str:
    """Four digits and four, as one compares them with a printed one."""
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _state(standing: KeyStanding) -> SafeString:
    return badge(*_STATES[standing.state])
