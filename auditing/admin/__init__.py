"""The admin pages of auditing. Importing this registers them."""

from auditing.admin import log, tracked

__all__ = ["log", "tracked"]
