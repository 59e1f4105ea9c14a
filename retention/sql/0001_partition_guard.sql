-- Stands before every write to a detached partition until that is dropped or attached again: what
-- was archived of it must stay what it holds. As a row trigger, because the workers of logical
-- replication fire no others.
CREATE FUNCTION custody.partition_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION '%.% was detached by a purge and takes no changes', tg_table_schema, tg_table_name
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Its rows are past their term. Cancelling the run attaches it again.';
END
$function$;

COMMENT ON FUNCTION custody.partition_guard() IS
    'Refuses writes to a partition that a purge has detached';
