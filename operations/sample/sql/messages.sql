INSERT INTO shop.messages (id, sender_id, recipient_id, sender_name, body, read_at, created_at)
SELECT n, u.id, shop.sample_uuid(p.seed, 'users', recipient), u.name,
       shop.sample_pick(l.sentences, a)
       || CASE WHEN a < 0.6 THEN ' ' || shop.sample_pick(l.sentences, b) ELSE '' END
       || CASE WHEN b < 0.2 THEN ' ' || shop.sample_pick(l.sentences, a * b) || E'\n\n' || u.name ELSE '' END,
       CASE WHEN a > 0.2 THEN p.moment - interval '24 hours' * (age * (0.99 - 0.1 * b * b * b)) END,
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, age,
           shop.sample_draw(p.seed, 'message.a', n) AS a,
           shop.sample_draw(p.seed, 'message.b', n) AS b,
           shop.sample_uuid(p.seed, 'users', shop.sample_user(
               age, shop.sample_draw(p.seed, 'message.sender', n), 3, p.users)) AS sender_id,
           shop.sample_user(age, shop.sample_draw(p.seed, 'message.recipient', n), 1.5, p.users) AS recipient
    FROM (
        SELECT n, shop.sample_age(730, 1.3, n, shop.sample_draw(p.seed, 'message.age', n), p.total) AS age
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        OFFSET 0
    ) AS timed
    OFFSET 0
) AS letter
JOIN shop.users AS u ON u.id = letter.sender_id
JOIN shop.sample_locales AS l ON l.locale = u.locale
ORDER BY n
