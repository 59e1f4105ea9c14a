-- Redactions, as they are sealed: the values that were destroyed, each by its commitment. The salts of
-- entries that stay beside one in `rest` are left out: they go when such an entry is redacted itself.
CREATE VIEW custody.auditing_redaction AS
SELECT r.id, r.section_id, r.place, r.name, r.commitment, r.run_id, r.xid
  FROM custody.auditing_redactedvalue AS r
 WHERE r.commitment IS NOT NULL;
