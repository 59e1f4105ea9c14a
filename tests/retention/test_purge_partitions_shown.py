"""Who approves, and who looks afterwards, sees which partitions go whole, and why others do not."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from operations.runs.kinds import run_kind
from retention.admin.purges import PurgePresenter
from retention.services.purge_preview import policy_preview
from retention.services.purge_start import purge_run

from .partitioned import Execute, make_hits
from .purging import make_policy, ran

pytestmark = pytest.mark.usefixtures("governed")


def test_at_a_terminal_on_the_page_and_in_the_preview(execute: Execute, person: User) -> None:
    make_hits(execute)
    execute("CREATE VIEW app.seen AS SELECT id FROM app.hits_2019")
    policy = make_policy("hits")
    told, left = policy_preview(policy=policy).notes
    assert told.startswith(
        "3 partitions have expired as a whole (app.hits_2018 to app.hits_2021) and would be "
        "dropped, which returns "
    )
    assert "inserting a row of their time fails" in told
    assert left == (
        "Expired as a whole, and purged by batches all the same: app.hits_2019 "
        "(view app.seen depends on app.hits_2019)."
    )
    run = ran(purge_run(policy=policy, requester=person))
    lines = run_kind("purge").plan_lines(run.plan)
    assert lines[-5:] == [
        "dropped whole: app.hits_2018, about 400 rows, until 2019-01-01 00:00:00+00",
        "dropped whole: app.hits_2020, about 400 rows, until 2021-01-01 00:00:00+00",
        "dropped whole: app.hits_2021, about 400 rows, until 2022-01-01 00:00:00+00",
        "Once they are dropped, inserting a row of their time fails: there is no partition for it.",
        "expired, by batches: app.hits_2019: view app.seen depends on app.hits_2019",
    ]
    planned = {fact.label: fact for fact in PurgePresenter().plan(run)}
    assert "3 partitions, about 1,200 rows" in planned["Partitions that are dropped whole"].value
    assert "app.hits_2020" in planned["Partitions that are dropped whole"].value
    assert "view app.seen" in planned["Expired, and purged by batches"].value
    outcome = {fact.label: fact for fact in PurgePresenter().outcome(run)}
    assert "3 partitions, 1,200 rows" in outcome["Partitions dropped"].value
    assert {"Returned to the system", "Reusable", "VACUUM"} <= set(outcome)
