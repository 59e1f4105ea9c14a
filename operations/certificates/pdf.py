"""The certificate for people: a PDF that shows all that is signed, and how to verify it."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    HRFlowable,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from operations.certificates import fonts
from operations.certificates.layout import ACCENT, PALE, QUIET, WIDTH, facts, sections, style

MARGIN = (A4[0] - WIDTH) / 2


def certificate_pdf(envelope: dict[str, Any], *, public_key: str) -> bytes:
    """Draws `envelope` (see `operations.services.certificates`) on A4 pages.

    Text stands as it was signed; whole numbers from 10,000 have their thousands set apart.
    `public_key`: base64, printed beside the key's id.
    """
    fonts.prepare()
    file = BytesIO()
    title = certificate_title(envelope["kind"])
    document = BaseDocTemplate(
        file,
        pagesize=A4,
        title=f"{title} {envelope['number']}",
        author=envelope["organisation"],
        subject=envelope["subject"],
        creator="Custody",
    )
    frame = Frame(MARGIN, 20 * mm, WIDTH, A4[1] - 38 * mm, 0, 0, 0, 0, id="page")
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=_footer(envelope)))
    body = dict(envelope["body"])
    statement = body.pop("statement", None)
    story = [*_head(envelope, title)]
    if isinstance(statement, str) and statement:
        story += [_boxed(Paragraph(fonts.markup(statement), style(10, leading=15))), Spacer(1, 12)]
    elif statement is not None:
        body["statement"] = statement
    story += sections(body)
    story += [Spacer(1, 16), _signature(envelope, public_key)]
    document.build(story, canvasmaker=_CountingCanvas)
    return file.getvalue()


def certificate_title(kind: str) -> str:
    """`disposition` -> `Certificate of disposition`."""
    return f"Certificate of {kind.replace('_', ' ')}"


class _CountingCanvas(Canvas):  # type: ignore[misc]
    """Knows how many pages there are when the last is drawn: each refers to one form for it."""

    def save(self) -> None:
        self.beginForm("page-count")
        self.setFont(fonts.REGULAR, 7)
        self.setFillColor(QUIET)
        self.drawString(0, 0, str(self.getPageNumber() - 1))
        self.endForm()
        super().save()


def _head(envelope: dict[str, Any], title: str) -> list[Flowable]:
    head: list[Flowable] = []
    if envelope["organisation"]:
        head.append(_line(envelope["organisation"], style(10, color=QUIET), bold=True))
        head.append(Spacer(1, 10))
    head.append(_line(title, style(21, color=ACCENT, leading=26), bold=True))
    head.append(_line(f"No. {envelope['number']}", style(11, leading=16)))
    head.append(HRFlowable(width="100%", thickness=1.4, color=ACCENT, spaceBefore=8, spaceAfter=8))
    head += facts({"subject": envelope["subject"], "issued_at": envelope["issued_at"]})
    head.append(Spacer(1, 10))
    return head


def _signature(envelope: dict[str, Any], public_key: str) -> Flowable:
    small = style(8, leading=12)
    lines: list[Flowable] = [
        _line("Signature", style(11, color=ACCENT, leading=16), bold=True),
        Paragraph(
            "The content of this certificate and the SHA-256 of this PDF are signed with Ed25519. "
            "The signature is in the JSON file that belongs to it.",
            small,
        ),
        Spacer(1, 4),
        *facts(
            {"signing_key": envelope["key_id"], "public_key": public_key},
            width=WIDTH - 20,
        ),
        Spacer(1, 4),
        Paragraph(
            f"To verify: <b>manage.py certificate_verify {escape(envelope['number'])}</b>, or "
            "<b>manage.py certificate_verify FILE</b> with this PDF or its JSON file.",
            small,
        ),
    ]
    if not _all_drawn(envelope):
        lines.append(
            Paragraph(
                "Characters for which this PDF has no letters are written as in JSON, such as "
                r"\u05d0. The signed JSON file has them as they are.",
                small,
            )
        )
    return KeepTogether(_boxed(lines))


def _boxed(content: Flowable | list[Flowable]) -> Table:
    box = Table([[content]], colWidths=[WIDTH], splitInRow=1)
    box.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, -1), PALE),
            ("LINEBEFORE", (0, 0), (0, -1), 2.5, ACCENT),
            ("LEFTPADDING", (0, 0), (-1, -1), 10),
            ("RIGHTPADDING", (0, 0), (-1, -1), 10),
            ("TOPPADDING", (0, 0), (-1, -1), 7),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
        ]
    )
    return box


def _footer(envelope: dict[str, Any]) -> Any:
    left = " · ".join(part for part in (envelope["number"], envelope["organisation"]) if part)

    def draw(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.saveState()
        canvas.setStrokeColor(colors.HexColor("#cbd5e1"))
        canvas.setLineWidth(0.5)
        canvas.line(MARGIN, 14 * mm, A4[0] - MARGIN, 14 * mm)
        canvas.setFillColor(QUIET)
        x = MARGIN
        for piece in fonts.pieces(left[:90]):
            canvas.setFont(piece.font, 7)
            canvas.drawString(x, 10 * mm, piece.text)
            x += canvas.stringWidth(piece.text, piece.font, 7)
        canvas.setFont(fonts.REGULAR, 7)
        count_at = A4[0] - MARGIN - 14
        canvas.drawRightString(count_at, 10 * mm, f"Page {document.page} of ")
        canvas.translate(count_at, 10 * mm)
        canvas.doForm("page-count")
        canvas.restoreState()

    return draw


def _line(text: str, form: ParagraphStyle, *, bold: bool = False) -> Paragraph:
    return Paragraph(fonts.markup(text, bold=bold), form)


def _all_drawn(value: object) -> bool:
    match value:
        case str():
            return fonts.is_whole(value)
        case dict():
            return all(map(_all_drawn, value)) and all(map(_all_drawn, value.values()))
        case list() | tuple():
            return all(map(_all_drawn, value))
        case _:
            return True
