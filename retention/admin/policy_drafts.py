"""What a person is about to propose: kept in their session until they confirm it.

So a page can be loaded again, and one can go back and change something.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from retention.models import RetentionPolicy
from retention.services.policy_terms import PolicyTerms

_KEY = "policy_drafts"
MOST = 10
"""Drafts of a session; the oldest are forgotten."""


@dataclass(frozen=True)
class Draft:
    terms: PolicyTerms
    reason: str = ""
    policy: int | None = None
    """None for a new one."""
    version: int = 0
    """Of the policy that the terms were made from."""

    def current(self) -> RetentionPolicy | None:
        """The policy as it is now. Raises DoesNotExist."""
        return None if self.policy is None else RetentionPolicy.objects.get(pk=self.policy)


def draft_keep(request: HttpRequest, draft: Draft) -> str:
    """The token by which the draft is found again."""
    token = secrets.token_urlsafe(9)
    kept: dict[str, Any] = dict(list(request.session.get(_KEY, {}).items())[1 - MOST :])
    kept[token] = [draft.terms.to_json(), draft.reason, draft.policy, draft.version]
    request.session[_KEY] = kept
    return token


def draft_find(request: HttpRequest, token: str) -> Draft | None:
    found = request.session.get(_KEY, {}).get(token)
    return Draft(PolicyTerms.from_json(found[0]), *found[1:]) if found is not None else None


def draft_forget(request: HttpRequest, token: str) -> None:
    request.session[_KEY] = {
        key: kept for key, kept in request.session.get(_KEY, {}).items() if key != token
    }
