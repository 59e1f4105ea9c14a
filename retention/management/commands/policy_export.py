"""manage.py policy_export [POLICY ...]"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.exceptions import CustodyError
from retention.models import RetentionPolicy
from retention.selectors.policies import policies_named
from retention.services.policy_file import entries_text, terms_entry
from retention.services.policy_terms import PolicyTerms


class Command(CustodyCommand):
    help = (
        "Writes policies in the shape that policy_import reads, with the terms that are in force: "
        "YAML, or JSON with --json or a file named so."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policies", nargs="*", metavar="POLICY", help="without: all")
        parser.add_argument("--output", metavar="FILE", type=Path, help="in place of the terminal")

    def work(self, **options: Any) -> Result:
        named = options["policies"]
        policies = policies_named(named) if named else list(RetentionPolicy.objects.all())
        entries = [terms_entry(PolicyTerms.of(policy)) for policy in policies]
        output: Path | None = options["output"]
        if output is None:
            return Result({"policies": entries}, [entries_text(entries).rstrip("\n")])
        text = entries_text(entries, as_json=output.suffix == ".json")
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CustodyError(f"{output} cannot be written: {error.strerror}.") from error
        count = f"{len(entries)} {'policy' if len(entries) == 1 else 'policies'}"
        return Result({"policies": entries}, [f"{count} written to {output}."])
