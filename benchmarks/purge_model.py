"""The table of events as a Django application would declare it."""

from __future__ import annotations

from functools import cache

from django.db import models


@cache
def event_model() -> type[models.Model]:
    """Made on demand: a model can be declared only after `django.setup()`."""

    class Event(models.Model):
        id = models.BigIntegerField(primary_key=True)
        user_id = models.UUIDField(null=True)
        name = models.TextField()
        path = models.TextField()
        properties = models.JSONField()
        ip_address = models.GenericIPAddressField(null=True)
        created_at = models.DateTimeField()

        class Meta:
            app_label = "bench"
            managed = False
            # The console's search_path holds only its own schema.
            db_table = '"bench"."events"'

        def __str__(self) -> str:
            return f"{self.name} {self.pk}"

    return Event
