"""What is asked twice: terms that would take every row, and ages that lie in the future."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.preview_pass import Look, due_row, in_future
from retention.selectors.preview_result import Caution
from retention.selectors.preview_tally import Counts

NEARLY = 0.9
"""Share of a table; a sample that says so is looked into."""
SECONDS = 0.4


def cautions(look: Look, counts: Counts, budget: Budget, *, using: str) -> Iterator[Caution]:
    """Never raises TooSlow; what is not known for certain is said to be likely."""
    table = look.table.name
    empties = _empties(look, counts, budget, using)
    if empties:
        rows = counts["due"].about
        every = "Every row" if empties == "surely" else "As far as a sample shows, every row"
        yield Caution(
            "empties",
            f"{every} of {table} is due ({rows}): the table would be empty. "
            "Are the term and the age column the ones that are meant?",
        )
    future = counts.get("future")
    if future is None:
        return
    if future.value or (future.estimated and _exists(look, in_future(look), budget, using)):
        latest = f", the latest {counts.ages.latest[:10]}" if counts.ages.latest else ""
        rows = f"{future.about} rows" if future.value else "Some rows"
        sentence = f"{rows} of {table} are dated in the future{latest}"
        yield Caution(
            "future",
            f"{sentence[0].upper()}{sentence[1:]}: is {look.rows.age_column} the column that "
            "tells how old a row is?",
        )


def _empties(look: Look, counts: Counts, budget: Budget, using: str) -> str:
    """`surely`, `probably`, or empty."""
    due, total = counts["due"], counts.total
    if not due.value or due.value < NEARLY * total.value or counts.method == "planned":
        return ""
    if not due.estimated and not total.estimated:
        return "surely" if due.value == total.value else ""
    stays = _exists(look, sql.SQL("({}) IS NOT TRUE").format(due_row(look)), budget, using)
    if stays is None:
        # A sample in which a single row stays settles it.
        return "probably" if due.value == total.value else ""
    return "" if stays else "surely"


def _exists(look: Look, where: sql.Composable, budget: Budget, using: str) -> bool | None:
    """None when it cannot be told in time."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} t WHERE {})").format(look.table.name.sql, where)
    try:
        with budget.limited(SECONDS, using=using) as cursor:
            cursor.execute(query)
            return bool(cursor.fetchone()[0])
    except TooSlow:
        return None
