INSERT INTO shop.sessions (
    id, user_id, token_hash, ip_address, user_agent, last_active_at, revoked_at, created_at
)
SELECT shop.sample_uuid(p.seed, 'sessions', n), shop.sample_uuid(p.seed, 'users', person),
       encode(sha256(convert_to(p.seed || 'session' || n, 'UTF8')), 'hex'),
       shop.sample_ip(p.seed, person, a), shop.sample_user_agent(a),
       p.moment - interval '24 hours' * (age * 0.98),
       CASE WHEN a < 0.3 THEN p.moment - interval '24 hours' * (age * 0.97) END,
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, age, shop.sample_draw(p.seed, 'session.a', n) AS a,
           shop.sample_user(age, shop.sample_draw(p.seed, 'session.user', n), 3, p.users) AS person
    FROM (
        SELECT n, shop.sample_age(730, 2, n, shop.sample_draw(p.seed, 'session.age', n), p.total) AS age
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        OFFSET 0
    ) AS timed
    OFFSET 0
) AS visit
