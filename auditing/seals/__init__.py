"""The form of a seal, `custody-seal/1`: leaves, their tree, and the headers that are signed.

Nothing here knows the database. What is written here, `verify_evidence.py` reads without us; a
change of any byte of it is another format.

- A *leaf* commits to one row: SHA-256 over a zero byte, the row's fields that are never taken away
  (`meta`), and for each other value that is not NULL the column's name and a commitment.
- A *commitment* is SHA-256 over 16 random bytes (the salt) and the value. Who destroys value and
  salt keeps the commitment, and the leaf stays what it was.
- A *block* is a list of leaves in sections, one a source, and the root of their tree (RFC 6962).
- A *header* names the block's root and the hash of the header before it, and is signed (Ed25519).

Values are written as PostgreSQL's COPY prints them (manual: COPY, "Text Format"), under settings
that do not depend on the session: DateStyle ISO, times in UTC.
"""
