"""What the audit benchmark needs of Django: the peers' triggers, and what history the ORM writes.

`python benchmarks/audit_peers.py install` makes the event tables and triggers of django-pghistory
and the table of django-simple-history in the database that DATABASE_URL names;
`python benchmarks/audit_peers.py CASE ROWS` prints `{seconds, cpu, rows, captured, peak_mib}`.

They have settings of their own: nothing of the console is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from benchmarks.audit_processor import processor_seconds
from benchmarks.purge_cases import peak_mib

BATCH = 1_000
CREATE, UPDATE, DELETE = "bulk_create", "bulk_update", "QuerySet.delete()"
CASES = {
    f"django, {CREATE}": ("NoAudit", CREATE),
    f"django-simple-history, {CREATE}_with_history": ("SimpleHistory", CREATE),
    f"django, {UPDATE}": ("NoAudit", UPDATE),
    f"django-simple-history, {UPDATE}_with_history": ("SimpleHistory", UPDATE),
    f"django, {DELETE}": ("NoAudit", DELETE),
    f"django-simple-history, {DELETE}": ("SimpleHistory", DELETE),
}
"""Each case of the ORM: its model and what is done. The floor of the overhead precedes it."""


def _django() -> None:
    parts = conninfo_to_dict(os.environ["DATABASE_URL"])
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname"),
        # The role may be called as the console's schema, which would then be searched first.
        "OPTIONS": {**parts, "options": "-c search_path=public"},
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "simple_history",
            "pgtrigger",
            "pghistory",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        TIME_ZONE="UTC",
    )
    import django

    django.setup()


def _models() -> dict[str, Any]:
    import pghistory
    from django.db import models
    from simple_history.models import HistoricalRecords

    class Order(models.Model):
        id = models.BigIntegerField(primary_key=True)
        customer = models.IntegerField(null=True)
        number = models.BigIntegerField(null=True)
        name = models.TextField(null=True)
        email = models.TextField(null=True)
        amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
        paid = models.BooleanField(null=True)
        placed_at = models.DateTimeField(null=True)
        token = models.UUIDField(null=True)
        note = models.TextField(null=True)

        class Meta:
            abstract = True
            app_label = "pghistory"

        def __str__(self) -> str:
            return str(self.pk)

    def tracked(level: Any) -> Any:
        return pghistory.track(
            pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), level=level
        )

    class NoAudit(Order):
        class Meta(Order.Meta):
            db_table = "bench_none"

    @tracked(pghistory.Statement)
    class Statement(Order):
        class Meta(Order.Meta):
            db_table = "bench_pghistory_statement"

    @tracked(pghistory.Row)
    class Row(Order):
        class Meta(Order.Meta):
            db_table = "bench_pghistory_row"

    class SimpleHistory(Order):
        history = HistoricalRecords(table_name="bench_simple_history_historical")

        class Meta(Order.Meta):
            db_table = "bench_simple_history"

    return {x.__name__: x for x in (NoAudit, Statement, Row, SimpleHistory)}


def install(models: dict[str, Any]) -> None:
    import pgtrigger
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(models["SimpleHistory"].history.model)
        for name in ("Statement", "Row"):
            events = models[name].events.rel.related_model
            events._meta.db_table = f"{models[name]._meta.db_table}_event"
            editor.create_model(events)
    for name in ("Statement", "Row"):
        model = models[name]
        for trigger in pgtrigger.registered():
            if trigger[0] is model:
                trigger[1].install(model)


def measure(models: dict[str, Any], case: str, count: int) -> dict[str, object]:
    """The last of the source's rows, by the ORM. The table is as the case needs it."""
    from django.db import connection

    name, action = CASES[case]
    model = models[name]
    kept = ", ".join(x.name for x in models["NoAudit"]._meta.fields)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute(f"TRUNCATE {model._meta.db_table}")
        cursor.execute(f"SELECT {kept} FROM bench_source ORDER BY id LIMIT %s", [count])
        rows = [dict(zip(kept.split(", "), row, strict=True)) for row in cursor.fetchall()]
        objects = [model(**row) for row in rows]
        if action != CREATE:
            model.objects.bulk_create(objects, batch_size=BATCH)
        history = getattr(model, "history", None)
        if history is not None:
            cursor.execute(f"TRUNCATE {history.model._meta.db_table}")
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    server, ours, began = processor_seconds(pid), _own_seconds(), time.perf_counter()
    _act(model, action, objects)
    seconds = time.perf_counter() - began
    cpu = processor_seconds(pid) - server + _own_seconds() - ours
    return {
        "seconds": seconds,
        "cpu": cpu,
        "rows": count,
        "captured": history.count() if history is not None else 0,
        "peak_mib": peak_mib(),
    }


def _act(model: Any, action: str, objects: list[Any]) -> None:
    from simple_history.utils import bulk_create_with_history, bulk_update_with_history

    audited = hasattr(model, "history")
    if action == CREATE and audited:
        bulk_create_with_history(objects, model, batch_size=BATCH)
    elif action == CREATE:
        model.objects.bulk_create(objects, batch_size=BATCH)
    elif action == UPDATE:
        for item in objects:
            item.customer += 1
            item.amount += 1
        fields = ["customer", "amount"]
        if audited:
            bulk_update_with_history(objects, model, fields, batch_size=BATCH)
        else:
            model.objects.bulk_update(objects, fields, batch_size=BATCH)
    else:
        model.objects.all().delete()


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["install", *CASES])
    parser.add_argument("rows", type=int, nargs="?", default=0)
    options = parser.parse_args()
    _django()
    models = _models()
    if options.case == "install":
        install(models)
    else:
        print(json.dumps(measure(models, options.case, options.rows)))


if __name__ == "__main__":
    main()
