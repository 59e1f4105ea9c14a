"""What benchmarks/softdelete.py asks of the packages: `softdelete_peers.py SCHEMA ACTION`.

Deletes (`delete`) or restores (`restore`) customer 1 of the schema `safe`, by django-safedelete, or
`soft`, by django-soft-delete, and prints `{seconds, peak_mib}`. Run with an interpreter that has
them; nothing of the console is loaded. DATABASE_URL is libpq's address.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from typing import Any

from django.conf import settings
from psycopg.conninfo import conninfo_to_dict


def _django(schema: str) -> None:
    parts = conninfo_to_dict(os.environ["DATABASE_URL"])
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname"),
        "OPTIONS": {**parts, "options": f"-c search_path={schema}"},
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    import django

    django.setup()


def _base(schema: str) -> Any:
    if schema == "soft":
        from django_softdelete.models import SoftDeleteModel

        return SoftDeleteModel
    from django.db import models
    from safedelete import SOFT_DELETE_CASCADE
    from safedelete.models import SafeDeleteModel

    class Safe(SafeDeleteModel):
        _safedelete_policy = SOFT_DELETE_CASCADE
        deleted = models.DateTimeField(editable=False, null=True)
        deleted_by_cascade = models.BooleanField(default=False, editable=False)

        class Meta:
            abstract = True

    return Safe


def _customers(base: Any) -> Any:
    from django.db import models

    class Common:
        app_label = "contenttypes"
        managed = False

    class Customer(base):  # type: ignore[misc]
        name = models.TextField()

        class Meta(Common):
            db_table = "customers"

    class Order(base):  # type: ignore[misc]
        customer = models.ForeignKey(Customer, models.CASCADE)
        placed_at = models.DateTimeField()
        note = models.TextField(null=True)

        class Meta(Common):
            db_table = "orders"

    class Line(base):  # type: ignore[misc]
        order = models.ForeignKey(Order, models.CASCADE)
        product = models.IntegerField()
        amount = models.DecimalField(max_digits=12, decimal_places=2)

        class Meta(Common):
            db_table = "lines"

    class Payment(base):  # type: ignore[misc]
        order = models.ForeignKey(Order, models.CASCADE)
        amount = models.DecimalField(max_digits=12, decimal_places=2)
        reference = models.TextField(null=True)

        class Meta(Common):
            db_table = "payments"

    return Customer


def measure(schema: str, action: str) -> dict[str, float]:
    from django.db import transaction

    customers = _customers(_base(schema))
    every = customers.all_objects if schema == "safe" else customers.global_objects
    one = every.get(pk=1)
    began = time.perf_counter()
    with transaction.atomic():
        if action == "delete":
            one.delete()
        elif schema == "safe":
            one.undelete()
        else:
            one.restore()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schema", choices=["safe", "soft"])
    parser.add_argument("action", choices=["delete", "restore"])
    options = parser.parse_args()
    _django(options.schema)
    print(json.dumps(measure(options.schema, options.action)))


if __name__ == "__main__":
    main()
