-- Seven of ten are read within days, most at once; the others never, and no policy may take those.
INSERT INTO shop.notifications (id, user_id, channel, title, data, read_at, created_at)
SELECT n, shop.sample_uuid(p.seed, 'users', person),
       (CASE WHEN a < 0.6 THEN 'email' WHEN a < 0.9 THEN 'push' ELSE 'sms' END)::shop.channel,
       shop.sample_pick(ARRAY['Your order is on its way', 'You have a new message', 'Back in stock',
                              'A new sign-in to your account', 'Your parcel was delivered',
                              'Ihre Bestellung ist unterwegs', 'Votre colis est arrivé'], b),
       jsonb_build_object('template', shop.sample_pick(ARRAY['shipped', 'message', 'stock', 'login', 'delivered',
                              'shipped', 'delivered'], b), 'attempts', 1 + floor(a * 2.2)::integer),
       CASE WHEN c < 0.7 THEN p.moment - interval '24 hours' * greatest(age - 6 * power(c / 0.7, 4), age * 0.02) END,
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, age,
           shop.sample_draw(p.seed, 'notification.a', n) AS a,
           shop.sample_draw(p.seed, 'notification.b', n) AS b,
           shop.sample_draw(p.seed, 'notification.c', n) AS c,
           shop.sample_user(age, shop.sample_draw(p.seed, 'notification.user', n), 2, p.users) AS person
    FROM (
        SELECT n, shop.sample_age(730, 2, n, shop.sample_draw(p.seed, 'notification.age', n), p.total) AS age
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        OFFSET 0
    ) AS timed
    OFFSET 0
) AS note
