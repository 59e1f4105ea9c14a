"""Evidence, `custody-evidence/1`, and `verify_evidence.py`, which goes with it."""
