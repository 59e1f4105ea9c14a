"""The page of a run tells what goes along, and where it went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from retention.models import Archive
from retention.services.purge_start import purge_run
from tests.console import person as somebody
from tests.console import signed_in

from .purging import ran
from .records import record_policy

pytestmark = pytest.mark.usefixtures("governed")


def test_the_page_of_a_run_names_every_table_and_every_archive(
    execute: Callable[..., list[tuple[Any, ...]]], person: User
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, ordered int REFERENCES app.orders)")
    execute("INSERT INTO app.orders VALUES (1, '2015-01-01'), (2, now())")
    execute("INSERT INTO app.lines SELECT n, 1 FROM generate_series(1, 7) n")
    run = ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person))
    page = signed_in(somebody("officer", role="officer")).get(
        reverse("admin:operations_run_change", args=[run.pk])
    )
    assert "With them of app.lines" in page.text
    assert "Of app.lines" in page.text
    for archive in Archive.objects.all():
        assert archive.name in page.text
        assert reverse("admin:retention_archive_change", args=[archive.pk]) in page.text
