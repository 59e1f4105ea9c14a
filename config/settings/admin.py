"""The look of the admin site (django-unfold)."""

UNFOLD = {
    "SITE_TITLE": "Custody",
    "SITE_HEADER": "Custody",
    "SITE_SYMBOL": "shield_lock",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}
