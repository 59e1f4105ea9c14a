-- Who changes something, from where and why: said once a transaction, kept with its first change.
--
-- Anybody can set custody.context_id to the number of somebody else's context. So a version has a
-- context only where the transaction is the same too: c.id = h.context AND c.xid = h.xid.

-- What the governed application calls, in any language, within its transaction and before its first
-- write. It writes no row; outside of a transaction block it has no effect after its statement.
CREATE FUNCTION custody.set_context(
    "user" pg_catalog.text DEFAULT NULL,
    reason pg_catalog.text DEFAULT NULL,
    user_email pg_catalog.text DEFAULT NULL,
    impersonator pg_catalog.text DEFAULT NULL,
    ip_address pg_catalog.text DEFAULT NULL,
    user_agent pg_catalog.text DEFAULT NULL,
    request_id pg_catalog.text DEFAULT NULL,
    extra pg_catalog.jsonb DEFAULT NULL
)
RETURNS pg_catalog.void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    said jsonb := jsonb_strip_nulls(jsonb_build_object(
        'actor', 'app:' || nullif(set_context."user", ''),
        'user_id', nullif(set_context."user", ''),
        'user_email', nullif(set_context.user_email, ''),
        'impersonator', nullif(set_context.impersonator, ''),
        'reason', nullif(set_context.reason, ''),
        'ip_address', nullif(set_context.ip_address, ''),
        'user_agent', nullif(set_context.user_agent, ''),
        'request_id', nullif(set_context.request_id, '')
    ));
BEGIN
    -- A null inside of `extra` means something to the application.
    IF set_context.extra IS NOT NULL THEN
        said := said || jsonb_build_object('extra', set_context.extra);
    END IF;
    PERFORM set_config('custody.context', CASE WHEN said = '{}' THEN '' ELSE said::text END, true),
            set_config('custody.context_id', '', true);
END
$function$;

COMMENT ON FUNCTION custody.set_context(
    pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text,
    pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb
) IS 'Says who changes something and why, until the end of the transaction';

CREATE FUNCTION custody.clear_context()
RETURNS pg_catalog.void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT set_config('custody.context', '', true), set_config('custody.context_id', '', true);
    SELECT;
$function$;

COMMENT ON FUNCTION custody.clear_context() IS
    'What is changed from here on has no context, until the end of the transaction';

-- Whose change it is, in the application's own SQL: a default, a trigger, a policy. What Supabase has
-- auth.uid() for. NULL when nobody was said, or nothing that can be read.
CREATE FUNCTION custody.context_user()
RETURNS pg_catalog.text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN nullif(nullif(current_setting('custody.context', true), '')::jsonb ->> 'user_id', '');
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION custody.context_user() IS
    'The user that custody.set_context() was told in this transaction';

GRANT EXECUTE ON FUNCTION
    custody.set_context(
        pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text,
        pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb
    ),
    custody.clear_context(),
    custody.context_user()
TO PUBLIC;

-- A context as a JSON object, whatever it was set to: a write never fails because of it. What is no
-- object is kept as text. jsonb knows neither NUL nor half a surrogate pair: they become question
-- marks when nothing else helps.
CREATE FUNCTION custody.audit_context_read(context pg_catalog.text)
RETURNS pg_catalog.jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    said jsonb;
    attempt text := context;
BEGIN
    FOR try IN 1 .. 2 LOOP
        BEGIN
            said := attempt::jsonb;
            EXIT;
        EXCEPTION WHEN OTHERS THEN
            attempt := regexp_replace(
                context, '(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})', '\1?', 'gi'
            );
        END;
    END LOOP;
    IF jsonb_typeof(said) = 'object' THEN
        RETURN said;
    END IF;
    RETURN jsonb_build_object('extra', jsonb_build_object('unread', left(context, 2000)));
END
$function$;

-- Turns the context into a row and returns its id. The capture function calls it, once a
-- transaction; nobody else may.
--
-- It is a claim when the session's role is not the console's: another superuser's too, although he
-- counts as a member of every role. A claimed actor is always one of the application's, `app:...`.
CREATE FUNCTION custody.audit_context(context pg_catalog.text)
RETURNS pg_catalog.int8
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    known CONSTANT text[] := ARRAY['actor', 'user_id', 'user_email', 'impersonator', 'reason',
                                   'ip_address', 'user_agent', 'request_id', 'extra'];
    said jsonb := custody.audit_context_read(context);
    -- Keys that we do not know are kept too.
    extra jsonb := said - known;
    claimed boolean := session_user <> current_user AND (
        NOT pg_has_role(session_user, current_user, 'MEMBER')
        OR (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user)
    );
    -- One line each.
    actor text := left(regexp_replace(said ->> 'actor', '[[:cntrl:]]+', ' ', 'g'), 300);
    user_id text := left(regexp_replace(said ->> 'user_id', '[[:cntrl:]]+', ' ', 'g'), 300);
    address inet;
    id bigint;
BEGIN
    IF said ? 'extra' AND said -> 'extra' <> 'null' THEN
        extra := extra || CASE jsonb_typeof(said -> 'extra')
            WHEN 'object' THEN said -> 'extra'
            ELSE jsonb_build_object('extra', said -> 'extra')
        END;
    END IF;
    IF said ->> 'ip_address' <> '' THEN
        BEGIN
            address := host((said ->> 'ip_address')::inet)::inet;
        EXCEPTION WHEN OTHERS THEN
            extra := extra || jsonb_build_object('ip_address', left(said ->> 'ip_address', 200));
        END;
    END IF;
    IF length(extra::text) > 10000 THEN
        extra := jsonb_build_object('cut', left(extra::text, 10000));
    END IF;
    IF coalesce(trim(actor), '') = '' THEN
        actor := coalesce('app:' || nullif(user_id, ''), 'db:' || session_user);
    ELSIF claimed AND NOT starts_with(actor, 'app:') THEN
        actor := 'app:' || actor;
    END IF;
    INSERT INTO custody.auditing_changecontext AS made (
        xid, at, actor, user_id, user_email, impersonator, reason, ip_address, user_agent,
        request_id, extra, claimed, "session_user", client_addr
    ) VALUES (
        pg_current_xact_id()::text::bigint,
        clock_timestamp(),
        actor,
        coalesce(user_id, ''),
        coalesce(left(regexp_replace(said ->> 'user_email', '[[:cntrl:]]+', ' ', 'g'), 300), ''),
        coalesce(left(regexp_replace(said ->> 'impersonator', '[[:cntrl:]]+', ' ', 'g'), 300), ''),
        coalesce(left(said ->> 'reason', 2000), ''),
        address,
        coalesce(left(regexp_replace(said ->> 'user_agent', '[[:cntrl:]]+', ' ', 'g'), 1000), ''),
        coalesce(left(regexp_replace(said ->> 'request_id', '[[:cntrl:]]+', ' ', 'g'), 200), ''),
        extra,
        claimed,
        session_user,
        inet_client_addr()
    ) RETURNING made.id INTO id;
    RETURN id;
END
$function$;

COMMENT ON FUNCTION custody.audit_context(pg_catalog.text) IS
    'Keeps the context of a change; called by the capture functions only';

-- Whether a change of a table that wants a reason has none.
CREATE FUNCTION custody.audit_reason_missing(context pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT CASE
        WHEN context IS NULL OR context = '' THEN true
        ELSE coalesce(trim(custody.audit_context_read(context) ->> 'reason'), '') = ''
    END
$function$;

REVOKE ALL ON FUNCTION
    custody.audit_context_read(pg_catalog.text),
    custody.audit_context(pg_catalog.text),
    custody.audit_reason_missing(pg_catalog.text)
FROM PUBLIC;
