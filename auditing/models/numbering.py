"""The number of the transaction under way, as a column's default."""

from __future__ import annotations

from django.db import models
from django.db.models import Func


class CurrentTransaction(Func):
    """In one rising order for the life of the log: also after a dump and restore."""

    function = "custody.audit_xid"
    output_field = models.BigIntegerField()
