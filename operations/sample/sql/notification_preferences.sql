-- Each person's three channels; n counts them.
INSERT INTO shop.notification_preferences (user_id, channel, enabled, updated_at)
SELECT shop.sample_uuid(p.seed, 'users', 1 + (n - 1) / 3),
       (ARRAY['email', 'sms', 'push'])[1 + mod(n - 1, 3)]::shop.channel,
       a < 0.65,
       p.moment - interval '24 hours' * (
           a * shop.sample_signup_age(1 + (n - 1) / 3,
                                      shop.sample_draw(p.seed, 'user.age', 1 + (n - 1) / 3), p.users))
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, shop.sample_draw(p.seed, 'preference', n) AS a
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    OFFSET 0
) AS choice
