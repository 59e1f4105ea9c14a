-- What pg_cron, or anybody whom the owner grants it, calls instead of beat: the sweeper starts the
-- job within seconds. A name that beat does not know is refused, so nobody waits for nothing.
CREATE FUNCTION custody.job_request(job pg_catalog.text)
RETURNS pg_catalog.timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    known text;
    asked timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT FROM custody.django_celery_beat_periodictask p WHERE p.task = job) THEN
        SELECT string_agg(DISTINCT p.task, ', ' ORDER BY p.task) INTO known
          FROM custody.django_celery_beat_periodictask p;
        RAISE EXCEPTION 'There is no job %', quote_nullable(job)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'There are: ' || known || '.';
    END IF;
    INSERT INTO custody.operations_jobrequest (job, requested_at, requested_by)
    VALUES (job, asked, session_user);
    RETURN asked;
END
$function$;

COMMENT ON FUNCTION custody.job_request(pg_catalog.text) IS
    'Asks the console to start one of its jobs, such as retention.purge_nightly';

REVOKE ALL ON FUNCTION custody.job_request(pg_catalog.text) FROM PUBLIC;
