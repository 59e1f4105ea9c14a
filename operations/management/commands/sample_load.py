"""manage.py sample_load"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from operations.commands import CustodyCommand, Result, text_table
from operations.sample.load import sample_load


class Command(CustodyCommand):
    help = "Makes the sample storefront in the schema shop: two years of a shop's rows."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scale", type=float, default=1, help="1 is about 200,000 rows")
        parser.add_argument("--seed", type=int, default=1, help="the same seed, the same people")
        parser.add_argument("--replace", action="store_true", help="drop the storefront first")

    def work(self, **options: Any) -> Result:
        connection.ensure_connection()
        with self.run_progress(options, "storefront") as bar:
            loaded = sample_load(
                connection=connection.connection,
                scale=options["scale"],
                seed=options["seed"],
                replace=options["replace"],
                on_progress=bar.amount,
            )
        total = sum(loaded.tables.values())
        document = {
            "schema": loaded.schema,
            "scale": loaded.scale,
            "seed": loaded.seed,
            "tables": loaded.tables,
            "rows": total,
            "seconds": round(loaded.seconds, 2),
        }
        rows = [[name, f"{count:,}"] for name, count in loaded.tables.items()]
        return Result(
            {"sample": document},
            [
                text_table("table", "rows", rows=rows, right=frozenset({1})),
                f"{total:,} rows in the schema {loaded.schema}, in {loaded.seconds:.1f} s.",
            ],
        )
