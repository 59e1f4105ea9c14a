"""The admin site of the console."""

from __future__ import annotations

from unfold.sites import UnfoldAdminSite


class ConsoleAdminSite(UnfoldAdminSite):
    site_title = "Custody"
    site_header = "Custody"
    index_title = "Overview"
