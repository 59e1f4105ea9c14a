"""Pages as people read them."""

from __future__ import annotations

import html
import re
from typing import Any


def text_of(page: Any) -> str:
    """What one reads, on one line."""
    assert page.status_code == 200, page
    words = re.sub(r"<(style|script).*?</\1>", " ", page.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", words)).split())
