"""The admin pages of the ground. Importing this registers them."""

from operations.admin import alerts, certificates, keys, runs, schedules

__all__ = ["alerts", "certificates", "keys", "runs", "schedules"]
