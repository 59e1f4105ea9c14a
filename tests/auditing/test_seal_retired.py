"""What retention took away, its removals tell leaf by leaf; everything else is as it was sealed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import AuditEvent, Removal, SealSection, TrackedTable
from auditing.services.audit_seal import audit_seal
from auditing.services.baseline import baseline_run
from auditing.services.track import table_track
from operations.models import Certificate, Run
from retention.services.purge_start import purge_run
from tests.retention.conftest import nursery, one_nursery
from tests.retention.crash import Nursery
from tests.retention.holding import place
from tests.retention.partitioned import TABLE, make_hits
from tests.retention.purging import make_events, make_policy, ran

from .histories import forget
from .old_histories import Past, history_policy, made_old, months
from .sealed_model import checked, excused
from .test_verify_clean import verified

__all__ = ["nursery", "one_nursery"]

Execute = Callable[..., list[tuple[Any, ...]]]
DUE, FRESH = 60, 8


@pytest.fixture(autouse=True)
def clean(transactional_db: None) -> Iterator[None]:
    yield
    forget()


def whole(run: Run, history: str, kind: str = "purge") -> Counter[str]:
    """All is as it was sealed, or excused; what went, by form. The proofs tell one number."""
    found = checked()
    assert [each for each in found.gone if not excused(each)] == []
    assert found.unsealed == []
    assert found.matched > 0
    result, findings = verified(run.requester)
    # Of the histories that are written by hand nothing is captured, by event trigger or without.
    sealed = [each for each in findings if "app.stock" not in each or "sealed" in each]
    assert [each for each in sealed if "event trigger" not in each] == []
    assert result["retired"] == len(found.gone)
    removed = Removal.objects.filter(run_id=run.pk).exclude(kind="carried")
    versions = sum(removed.values_list("versions", flat=True))
    told = {history: versions}
    assert Certificate.objects.get(run=run).body["body"]["history_versions"] == told
    event = AuditEvent.objects.get(run_id=run.pk, kind=kind)
    assert event.detail["history_versions"] == told
    # What was carried on, and on again, before anybody sealed it, has no leaf.
    assert len(found.gone) == versions or (kind == "retire" and len(found.gone) < versions)
    return Counter(each.form for each in found.gone)


def purge(person: User, table: str, **terms: Any) -> Run:
    return ran(purge_run(policy=make_policy(table, **terms), requester=person, reason="over"))


@pytest.mark.usefixtures("governed")
@pytest.mark.parametrize("inherits", [False, True])
def test_a_purge_tells_which_versions_and_images_went_with_the_rows(
    execute: Execute, person: User, inherits: bool
) -> None:
    """A table that inherits is captured row by row."""
    make_events(execute, due=DUE, fresh=FRESH)
    if inherits:
        execute("CREATE TABLE app.things (id bigint)")
        execute("ALTER TABLE app.events INHERIT app.things")
    tracked = table_track("app.events", actor=person, reason="the law")
    assert tracked.row_level is inherits
    execute("UPDATE app.events SET kind = 'b' WHERE id % 2 = 0")
    baseline_run(tracked, requester=person)
    execute("UPDATE app.events SET kind = 'c' WHERE id % 3 = 0")
    audit_seal()
    sealed = checked()
    assert (sealed.gone, sealed.unsealed) == ([], [])
    run = purge(person, "events")
    assert run.done == DUE
    audit_seal()
    forms = whole(run, "history.app__events")
    assert forms == {"image": DUE, "version": DUE // 2 + DUE // 3}
    assert {each.run_id for each in Removal.objects.all()} == {run.pk}


@pytest.mark.usefixtures("governed")
def test_what_somebody_else_took_away_nothing_excuses(execute: Execute, person: User) -> None:
    make_events(execute, due=0, fresh=0, ageless=0)
    tracked = table_track("app.events", actor=person, reason="the law")
    execute(
        "INSERT INTO app.events (id, created_at, kind)"
        " SELECT n, now() - CASE WHEN n <= 10 THEN interval '400 days' ELSE '0' END, 'a'"
        " FROM generate_series(1, 20) n"
    )
    execute("UPDATE app.events SET kind = 'b'")
    audit_seal()
    [(number,)] = execute(
        f"DELETE FROM {tracked.history} WHERE \"1_id\" = 15 AND op = 'U' RETURNING seq"
    )
    # Whose record goes afterwards: the purge does not tell of what it did not find.
    [(earlier,)] = execute(
        f"DELETE FROM {tracked.history} WHERE \"1_id\" = 5 AND op = 'U' RETURNING seq"
    )
    purge(person, "events")
    audit_seal()
    left = [each.number for each in checked().gone if not excused(each)]
    assert sorted(left) == sorted([number, earlier])


@pytest.mark.usefixtures("governed")
def test_while_the_history_is_held_nothing_is_removed(execute: Execute, person: User) -> None:
    make_events(execute, due=DUE)
    tracked = table_track("app.events", actor=person, reason="the law")
    baseline_run(tracked, requester=person)
    place("2026-1", str(tracked.history))
    audit_seal()
    run = purge(person, "events")
    audit_seal()
    found = checked()
    assert (found.gone, found.unsealed) == ([], [])
    assert not Removal.objects.exists()
    assert "history_versions" not in Certificate.objects.get(run=run).body["body"]


@pytest.mark.usefixtures("governed")
def test_partitions_that_go_whole_tell_too_also_when_killed(
    nursery: Nursery, execute: Execute, person: User
) -> None:
    make_hits(execute, rows=100)
    tracked = table_track(TABLE, actor=person, reason="the law")
    execute("UPDATE app.hits SET note = coalesce(note, '') || 'z'")
    baseline_run(tracked, requester=person)
    execute("ANALYZE app.hits")
    audit_seal()
    make_policy("hits")
    for stage in ("dropped", "forgotten", "known", "committed"):
        worker = nursery.work("hits", at=stage, pages=1)
        worker.wait_for(stage)
        worker.kill()
        audit_seal()
        assert [each for each in checked().gone if not excused(each)] == []
    assert nursery.work("hits", pages=1).end()["end"] == "succeeded"
    audit_seal()
    assert whole(Run.objects.get(kind="purge"), "history.app__hits") == {
        "image": 400,
        "version": 400,
    }


def sealed_past(tracked: TrackedTable, *, seed: int) -> Past:
    past = Past(tracked, changes=500, seed=seed)
    audit_seal()
    found = checked()
    assert (found.gone, found.unsealed) == ([], [])
    return past


def test_months_that_were_retired_stay_as_headers_and_what_was_carried_is_sealed(
    execute: Execute, nursery: Nursery
) -> None:
    tracked = made_old()
    # Its images are of a baseline that was before all.
    tracked.baseline_at = tracked.baseline_first_at = months()[0] - timedelta(days=60)
    tracked.save()
    past = sealed_past(tracked, seed=21)
    policy = history_policy(tracked)
    boundary = max(start for start in months() if start <= timezone.now() - timedelta(days=730))
    [(before,)] = execute(f"SELECT count(*) FROM {tracked.history} WHERE at < %s", [boundary])
    for stage in ("carried", "dropped", "known", "carried", "committed"):
        worker = nursery.work(policy.name, at=stage, number=1, pages=1)
        worker.wait_for(stage)
        worker.kill()
        audit_seal()
        found = checked()
        assert [each for each in found.gone if not excused(each)] == [], stage
        assert found.unsealed == [], stage
    assert nursery.work(policy.name).end()["end"] == "succeeded"
    audit_seal()
    run = Run.objects.get(kind="purge")
    forms = whole(run, "history.app__stock", "retire")
    assert forms["version"] + forms["image"] == before
    assert forms["carried"] > 0
    retired = Removal.objects.filter(kind="retired").order_by("until")
    assert retired.last().until == boundary
    assert sum(each.versions for each in retired) == run.done
    carried = Removal.objects.filter(kind="carried", until=boundary)
    assert sum(each.versions for each in carried) == len(past.at(boundary))
    last = [s for s in SealSection.objects.filter(form="carried") if s.first_at == boundary]
    assert sum(len(section.ids) for section in last) == len(past.at(boundary))
