"""Evidence after retention: what is left verifies; removals and certificates tell what went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from auditing.models import SealSection
from auditing.services.audit_seal import audit_seal
from auditing.services.evidence_export import evidence_export
from auditing.services.track import table_track
from operations.models import Certificate
from retention.services.purge_start import purge_run
from tests.auditing.evidence_kit import examine
from tests.auditing.histories import forget
from tests.auditing.old_histories import Past, history_policy, made_old, months
from tests.retention.purging import make_events, make_policy, ran

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def clean(transactional_db: None) -> Iterator[None]:
    yield
    forget()


def verified(person: User, tmp_path: Path, table: str) -> tuple[dict[str, Any], str]:
    out = tmp_path / "e.zip"
    run = evidence_export(
        since=None, until=None, tables=[table], requester=person, reason="court", out=out
    )
    assert run.state == "succeeded", run.error
    assert run.result["altered"] == []
    code, said = examine(out, alone=tmp_path)
    assert code == 0, said
    return run.result, said


@pytest.mark.usefixtures("governed")
def test_versions_that_a_purge_took_are_not_there_and_its_certificate_is(
    execute: Execute, person: User, tmp_path: Path
) -> None:
    make_events(execute, due=10, fresh=5)
    table_track("app.events", actor=person, reason="the law")
    execute("UPDATE app.events SET kind = 'b'")
    audit_seal()
    ran(purge_run(policy=make_policy("events"), requester=person, reason="over"))
    execute("UPDATE app.events SET kind = 'c'")
    done, said = verified(person, tmp_path, "app.events")
    [(left,)] = execute("SELECT count(*) FROM history.app__events")
    assert done["versions"] == left
    assert done["certificates"] == [Certificate.objects.get().number]
    assert "of custody.auditing_removal" in said
    [[source, first, last]] = done["complete"]
    assert (source, last) == ("history.app__events", done["blocks"])
    assert first > 1, "the block of the versions that went is not said to be whole"


def test_months_that_were_retired_are_gone_and_what_was_carried_is_proved(
    execute: Execute, person: User, tmp_path: Path
) -> None:
    tracked = made_old()
    # Its images are of a baseline that was before all.
    tracked.baseline_at = tracked.baseline_first_at = months()[0] - timedelta(days=60)
    tracked.save()
    Past(tracked, changes=300, seed=4)
    audit_seal()
    ran(purge_run(policy=history_policy(tracked), requester=person, reason="over"))
    done, said = verified(person, tmp_path, "app.stock")
    [(left, carried)] = execute(
        f"SELECT count(*), count(*) FILTER (WHERE op = 'C') FROM {tracked.history}"
    )
    sealed = sum(len(each.ids) for each in SealSection.objects.filter(form="carried"))
    assert 0 < carried <= sealed
    assert done["versions"] == left
    assert done["certificates"] == [Certificate.objects.get().number]
    assert "of custody.auditing_removal" in said
