"""What evidence says, for people: a table for each source, and a page with the first of all.

These are for reading; what is proved are the rows in `rows/`.
"""

from __future__ import annotations

import csv
import html
import io
import json
import tempfile
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any

from auditing.models import ChangeContext, Operation, SealSection, TrackedTable
from auditing.seals.leaves import NULL, unescape
from auditing.seals.proofs import text
from auditing.selectors.evidence_sections import SealedRow
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.sealed_rows import VERSION_META

SHOWN = 2_000
"""Versions on the page; all of them are in the tables."""
LONGEST = 200
"""Letters of a value on the page."""
HEAD = (
    "when (UTC)", "what", "record", "who", "said by", "database role", "address", "why", "request",
    "changed",
)  # fmt: skip
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evidence: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem }}
body {{ max-width: 80rem }}
table {{ border-collapse: collapse; width: 100%; font-size: 13px }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem }}
tr {{ border-bottom: 1px solid #8884 }}
td {{ overflow-wrap: break-word; max-width: 30rem }}
.scroll {{ overflow-x: auto }} dt {{ font-weight: 600 }} dd {{ margin: 0 0 .5rem }}
</style></head><body>
<h1>Evidence: {title}</h1>
<p>This page is for reading. What is proved are the files in <code>rows/</code>: run
<code>python verify_evidence.py</code> on the whole zip.</p>
<dl>{facts}</dl>
"""


class Summary:
    """The table of one source, spooled beside the zip that is being written."""

    def __init__(self, tracked: TrackedTable) -> None:
        self._shape: Shape = shape_of(tracked)
        self._columns = [each for each in self._shape.columns if not _computed(each)]
        self._kept = {kept.name: column.attnum for column in self._columns for kept in column.kept}
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._text = io.TextIOWrapper(
            self.file, encoding="utf-8", errors="backslashreplace", newline=""
        )
        self._csv = csv.writer(self._text)
        self._csv.writerow([*HEAD, *(column.name for column in self._columns)])
        self.first: list[list[str]] = []
        self._contexts: dict[int, ChangeContext] = {}
        self._section = 0

    def add(
        self, section: SealSection, row: SealedRow, contexts: Mapping[int, ChangeContext]
    ) -> None:
        line = self._line(section, row, contexts)
        self._csv.writerow([_plain(cell) for cell in line])
        if len(self.first) < SHOWN:
            self.first.append([*line[: len(HEAD)], self._told(line)])

    def _told(self, line: list[str]) -> str:
        """The values that a change made; of a row that came or went all of them."""
        changed = set(line[HEAD.index("changed")].split(", ")) - {""}
        return "; ".join(
            f"{column.name}: {value[:LONGEST]}{'...' if len(value) > LONGEST else ''}"
            for column, value in zip(self._columns, line[len(HEAD) :], strict=True)
            if (column.name in changed if changed else value)
        )

    def ended(self) -> IO[bytes]:
        self._text.flush()
        return self.file

    def close(self) -> None:
        self._text.close()

    def _line(
        self, section: SealSection, row: SealedRow, contexts: Mapping[int, ChangeContext]
    ) -> list[str]:
        meta = dict(zip(VERSION_META, (_said(each) for each in row.meta), strict=True))
        number = meta["context"]
        context = contexts.get(int(number)) if number else None
        if context is not None and str(context.xid) != meta["xid"]:
            context = None  # Anybody can name the number of somebody else's context.
        values, redacted = self._values(section, row)
        changed = self._shape.changed(int(meta["layout"] or 0), meta["changed"] or None)
        names = {column.attnum: column.name for column in self._columns}
        return [
            meta["at"],
            Operation(meta["op"]).label,
            _said(row.record),
            context.actor if context else f"db:{meta['db_user']}",
            ("the application" if context.claimed else "the console") if context else "PostgreSQL",
            meta["db_user"],
            meta["client"],
            context.reason if context else "",
            context.request_id if context else "",
            ", ".join(names.get(attnum, f"column {attnum}") for attnum in changed),
            *(
                "(redacted)"
                if attnum in redacted
                else "(masked)"
                if masked
                else values.get(attnum, "")
                for attnum, masked in ((each.attnum, each.masked) for each in self._columns)
            ),
        ]

    def _values(self, section: SealSection, row: SealedRow) -> tuple[dict[int, str], set[int]]:
        values: dict[int, str] = {}
        for name, value in zip(section.names, row.values, strict=True):
            if value == NULL:
                continue
            if name == "rest":
                for key, entry in json.loads(unescape(value)).items():
                    if key.isdigit():
                        values[int(key)] = entry if isinstance(entry, str) else json.dumps(entry)
            elif name in self._kept:
                values[self._kept[name]] = _said(value)
        gone = {name for name, _, *value in row.shown if not value}
        redacted = {attnum for name, attnum in self._kept.items() if name in gone}
        redacted |= {int(name[5:]) for name in gone if name[:5] == "rest." and name[5:].isdigit()}
        return values, redacted


def page(
    title: str, facts: dict[str, Any], tables: list[tuple[str, int, list[list[str]]]]
) -> bytes:
    """The HTML page. Args: tables: of each source its name, its versions, and the first lines."""
    told = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in facts.items()
        if value not in ("", None, [])
    )
    parts = [_PAGE.format(title=html.escape(title), facts=told)]
    left = SHOWN
    for name, count, lines in tables:
        parts.append(f"<h2>{html.escape(name)}: {count:,} versions</h2>")
        if count > min(left, len(lines)):
            parts.append(f"<p>Here are the first; all are in summary/{html.escape(name)}.csv.</p>")
        heads = "".join(f"<th>{each}</th>" for each in (*HEAD, "values"))
        parts.append(f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>')
        for line in lines[:left]:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in line)
            parts.append(f"<tr>{cells}</tr>\n")
        parts.append("</tbody></table></div>")
        left = max(0, left - len(lines))
    return "".join([*parts, "</body></html>\n"]).encode(errors="backslashreplace")


def _computed(column: Any) -> bool:
    return bool(column.generated == "virtual")


def _said(printed: bytes) -> str:
    return "" if printed == NULL else text(unescape(printed))


def _plain(cell: str) -> str:
    """So that a spreadsheet does not take it for a formula."""
    if cell.startswith(_FORMULAS) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-").replace(".", "", 1).isdigit()


def moment(at: datetime | None) -> str:
    return at.isoformat() if at else ""
