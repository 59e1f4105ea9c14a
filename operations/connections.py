"""What is done once for every connection, and once for every database before it is migrated."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_migrate
from django.db.utils import NotSupportedError
from django.dispatch import receiver

OLDEST_SERVER = 15


@receiver(connection_created, dispatch_uid="operations.server_version")
def refuse_old_server(sender: object, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Raises NotSupportedError below PostgreSQL 15: MERGE and security_invoker views are used."""
    if connection.vendor != "postgresql":
        return
    version = connection.connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        connection.close()
        raise NotSupportedError(
            f"The server is PostgreSQL {version}; Custody needs {OLDEST_SERVER} or newer. "
            "Point DATABASE_URL at a newer server."
        )


@receiver(pre_migrate, dispatch_uid="operations.schema")
def create_schema(sender: object, using: str, **kwargs: Any) -> None:
    """The console's schema must exist before Django's first table: it is alone on the path."""
    with connections[using].cursor() as cursor:
        # A role that may not create schemas can still migrate into one made for it.
        cursor.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'custody'")
        if cursor.fetchone() is None:
            cursor.execute("CREATE SCHEMA custody")
