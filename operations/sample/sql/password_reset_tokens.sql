-- Sixty days of them, a quarter from the last 24 hours: their term is the shortest of all.
INSERT INTO shop.password_reset_tokens (id, user_id, token_hash, used_at, created_at)
SELECT n,
       shop.sample_uuid(p.seed, 'users', shop.sample_user(
           age, shop.sample_draw(p.seed, 'token.user', n), 1.5, p.users)),
       encode(sha256(convert_to(p.seed || 'token' || n, 'UTF8')), 'hex'),
       CASE WHEN a < 0.6 THEN p.moment - interval '24 hours' * greatest(age - a / 24, age * 0.1) END,
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, shop.sample_draw(p.seed, 'token.a', n) AS a,
           shop.sample_age(60, 3, n, shop.sample_draw(p.seed, 'token.age', n), p.total) AS age
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    OFFSET 0
) AS forgotten
