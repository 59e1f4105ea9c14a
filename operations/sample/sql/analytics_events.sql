-- One in five is anonymous.
INSERT INTO shop.analytics_events (id, user_id, name, path, properties, ip_address, created_at)
SELECT n, CASE WHEN a < 0.8 THEN shop.sample_uuid(p.seed, 'users', person) END,
       (ARRAY['page_view', 'page_view', 'product_view', 'search', 'add_to_cart', 'login',
              'checkout', 'purchase'])[1 + kind],
       CASE WHEN kind IN (2, 4) THEN '/products/' || product ELSE
            (ARRAY['/', '/sale', NULL, '/search', NULL, '/account', '/checkout', '/thanks'])[1 + kind] END,
       CASE WHEN kind IN (2, 4)
            THEN jsonb_build_object('product_id', product, 'ms', floor(9000 * b * b)::integer)
            WHEN kind = 3 THEN jsonb_build_object('query', shop.sample_pick(
                     ARRAY['lampe', 'mug', 'écharpe', 'чашка', '毛布', 'backpack'], b), 'hits', product)
            ELSE jsonb_build_object('referrer', shop.sample_pick(
                     ARRAY['direct', 'https://search.example.net/', 'https://news.example.org/gifts'], b),
                     'ms', floor(9000 * b * b)::integer) END,
       shop.sample_ip(p.seed, person, a),
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, age, a, b,
           floor(8 * b * b)::integer AS kind,
           1 + floor(%(products)s::bigint * a * b)::integer AS product,
           shop.sample_user(age, shop.sample_draw(p.seed, 'event.user', n), 3, p.users) AS person
    FROM (
        SELECT n, shop.sample_draw(p.seed, 'event.a', n) AS a,
               shop.sample_draw(p.seed, 'event.b', n) AS b,
               shop.sample_age(730, 1.2, n, shop.sample_draw(p.seed, 'event.age', n), p.total) AS age
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        OFFSET 0
    ) AS timed
    OFFSET 0
) AS event
