"""What Celery beat asks of the audit."""
