-- Changes of people and of their first addresses, back to the shop's first day: further than the
-- two years that audit rows are kept. What people had before survives in old_data. A deleted
-- address is one that is no longer there.
INSERT INTO shop.audit_logs (
    id, table_name, record_id, action, old_data, new_data, changed_fields, user_id, user_email,
    ip_address, user_agent, created_at
)
SELECT shop.sample_uuid(p.seed, 'audit_logs', n), change.table_name,
       (image ->> 'id')::uuid, action,
       CASE action WHEN 'UPDATE' THEN image || before WHEN 'DELETE' THEN image END,
       CASE WHEN action <> 'DELETE' THEN image END,
       CASE action WHEN 'UPDATE' THEN ARRAY(SELECT jsonb_object_keys(before)) END,
       actor.id, actor.email, shop.sample_ip(p.seed, person, a), shop.sample_user_agent(b),
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, age, a, b, person,
           CASE WHEN a < 0.55 THEN 'users' ELSE 'addresses' END AS table_name,
           CASE WHEN b < 0.12 THEN 'INSERT' WHEN b > 0.9 AND a >= 0.55 THEN 'DELETE'
                ELSE 'UPDATE' END AS action,
           shop.sample_uuid(p.seed, 'users', person) AS subject_id,
           shop.sample_uuid(p.seed, 'addresses', person) AS address_id,
           -- Mostly people themselves, sometimes the five of the support desk, sometimes nobody.
           CASE WHEN a * 100 - floor(a * 100) < 0.8 THEN shop.sample_uuid(p.seed, 'users', person)
                WHEN a * 100 - floor(a * 100) < 0.95
                THEN shop.sample_uuid(p.seed, 'users', 1 + floor(5 * b)::bigint) END AS actor_id
    FROM (
        SELECT n, age, shop.sample_draw(p.seed, 'audit.a', n) AS a,
               shop.sample_draw(p.seed, 'audit.b', n) AS b,
               shop.sample_user(age, shop.sample_draw(p.seed, 'audit.user', n), 2.5, p.users) AS person
        FROM (
            SELECT n, shop.sample_age(800, 1, n, shop.sample_draw(p.seed, 'audit.age', n), p.total) AS age
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
            OFFSET 0
        ) AS timed
        OFFSET 0
    ) AS drawn
    OFFSET 0
) AS change
JOIN shop.users AS u ON u.id = change.subject_id
JOIN shop.addresses AS d ON d.id = change.address_id
LEFT JOIN shop.users AS actor ON actor.id = change.actor_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN change.table_name = 'users'
                THEN to_jsonb(u) - ARRAY['password_hash', 'email_lower', 'last_seen_at']
                WHEN action = 'DELETE'
                THEN to_jsonb(d) || jsonb_build_object('id', shop.sample_uuid(p.seed, 'gone', n))
                ELSE to_jsonb(d) END AS image,
           CASE WHEN change.table_name = 'addresses'
                THEN jsonb_build_object('line1', 'Old Road ' || 1 + floor(90 * b)::integer)
                WHEN b < 0.5
                THEN jsonb_build_object('phone', to_char(floor(200 * b), 'FM"+1 907 555 01"00'))
                ELSE jsonb_build_object('email', 'previous.' || u.email) END
           AS before
    OFFSET 0
) AS images
