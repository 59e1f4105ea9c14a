"""The database: the one that DATABASE_URL names, else the embedded PostgreSQL 18.

The console's tables live in the schema `custody`, alone on the search_path: `public` may belong to
another Django project whose tables have the names of ours.
"""

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from config.embedded import EmbeddedPostgres
from config.env import VAR, env

DATABASE_URL: str = env.str("DATABASE_URL", default="")
EMBEDDED_POSTGRES: EmbeddedPostgres | None = (
    None
    if DATABASE_URL
    else EmbeddedPostgres(VAR / "postgres", version=env.int("CUSTODY_POSTGRES_VERSION", default=18))
)
if EMBEDDED_POSTGRES is not None:
    DATABASE_URL = EMBEDDED_POSTGRES.url


def _django_database(url: str) -> dict[str, object]:
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError as error:
        # The text of libpq's error can hold the password: it is not repeated.
        raise ImproperlyConfigured(
            "DATABASE_URL is not a PostgreSQL connection string such as "
            "postgresql://user:password@host:5432/database"
        ) from error
    if not parts.get("dbname"):
        raise ImproperlyConfigured("DATABASE_URL names no database: add /NAME after the host.")
    database: dict[str, object] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname"),
        "USER": parts.pop("user", None) or "",
        "PASSWORD": parts.pop("password", None) or "",
        "HOST": parts.pop("host", None) or "",
        "PORT": str(parts.pop("port", None) or ""),
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 60,
    }
    options = {key: value for key, value in parts.items() if value is not None}
    options.setdefault("connect_timeout", 5)
    options.setdefault("application_name", "custody")
    theirs = str(options.get("options", ""))
    # Whatever the server's defaults are: what is read is what Python can read.
    ours = "-c search_path=custody -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres"
    options["options"] = f"{theirs} {ours}".strip()
    database["OPTIONS"] = options
    return database


DATABASES = {"default": _django_database(DATABASE_URL)}
