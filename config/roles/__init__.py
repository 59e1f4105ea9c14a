"""The SQL for a console that is no superuser: `manage.py roles_sql`."""
