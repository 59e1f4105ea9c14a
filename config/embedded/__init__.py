"""The console's own PostgreSQL and broker, for a machine that has nothing but Python packages.

Each server lives in one folder, is shared by every process that holds it and stopped by the
last one that leaves. Only the programs of the wheels are used; starting, counting who uses
them, stopping and recovering are done here.
"""

from .broker import EmbeddedBroker
from .errors import EmbeddedError
from .postgres import EmbeddedPostgres

__all__ = ["EmbeddedBroker", "EmbeddedError", "EmbeddedPostgres"]
