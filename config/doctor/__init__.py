"""What is used, what is wrong, and how to mend it: `manage.py doctor`."""
