"""`manage.py serve`: the processes of the console, started together and ended together."""
