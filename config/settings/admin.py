"""The look of the admin site (django-unfold)."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static


def _file(name: str) -> Any:
    """The address of one of our static files, asked when a page is drawn."""

    def address(_request: HttpRequest) -> str:
        return static(f"custody/{name}")

    return address


# Ink: the colour of the certificates. Hue 252, little chroma, one lightness a step.
_PRIMARY = {
    "50": "oklch(97.4% .010 250)",
    "100": "oklch(94.2% .021 250)",
    "200": "oklch(88.6% .041 250)",
    "300": "oklch(80.6% .066 250)",
    "400": "oklch(72.2% .090 250)",
    "500": "oklch(63.0% .105 251)",
    "600": "oklch(45.8% .096 252)",
    "700": "oklch(40.2% .086 253)",
    "800": "oklch(34.6% .074 254)",
    "900": "oklch(29.6% .062 255)",
    "950": "oklch(22.4% .048 256)",
}
# Paper and slate: nearly grey, with a breath of the same hue.
_BASE = {
    "50": "oklch(98.4% .003 250)",
    "100": "oklch(96.4% .004 250)",
    "200": "oklch(92.4% .007 250)",
    "300": "oklch(86.8% .011 251)",
    "400": "oklch(71.0% .019 252)",
    "500": "oklch(54.6% .022 253)",
    "600": "oklch(44.2% .024 254)",
    "700": "oklch(36.4% .026 255)",
    "800": "oklch(27.6% .025 256)",
    "900": "oklch(20.6% .022 257)",
    "950": "oklch(14.4% .018 258)",
}

UNFOLD = {
    "SITE_TITLE": "Custody",
    "SITE_HEADER": "Custody",
    "SITE_SUBHEADER": "Chain of custody for PostgreSQL",
    "SITE_URL": None,
    "SITE_ICON": _file("mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("favicon.svg")}],
    "STYLES": [_file("console.css")],
    "LOGIN": {"image": _file("sign-in.svg")},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {"primary": _PRIMARY, "base": _BASE},
    "DASHBOARD_CALLBACK": "config.dashboard.dashboard",
    "SIDEBAR": {"navigation": "config.navigation.navigation"},
}
