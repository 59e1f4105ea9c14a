"""The night's purge: every policy gets its run; what cannot go becomes an alert."""

from __future__ import annotations

import shlex
from functools import partial

from django.contrib.auth.models import User

from operations.services.scheduled_jobs import scheduled_job_begin
from retention.models import RetentionPolicy
from retention.selectors.policies import policies_runnable
from retention.services.bin_counts import deletions_emptied
from retention.services.history_policy import history_policies_propose
from retention.services.nightly import Wish, nightly_ask
from retention.services.purge_start import purge_request

PURGE_NIGHTLY = "retention.purge_nightly"


def purge_nightly(*, requester: User) -> list[int]:
    """Asks for a purge by every runnable policy; returns the queued runs (see `nightly_ask`).

    Before that it proposes policies for the histories that have none.
    """
    scheduled_job_begin(name=PURGE_NIGHTLY)
    deletions_emptied(using="default")
    history_policies_propose(requester=requester)
    wishes = [_wish(policy, requester) for policy in policies_runnable()]
    return nightly_ask(kind="purge", alerts="purge-refused:", wishes=wishes)


def _wish(policy: RetentionPolicy, requester: User) -> Wish:
    return Wish(
        policy.name,
        partial(purge_request, policy=policy, requester=requester, reason="nightly"),
        failed=f"The nightly purge of {policy.name} did not go",
        remedy=f"Mend it, then try: manage.py purge_run {shlex.quote(policy.name)} --dry-run",
    )
