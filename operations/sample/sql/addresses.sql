-- Address n is person n's first one, made on the day of signing up; later numbers are further ones.
INSERT INTO shop.addresses (
    id, user_id, recipient, line1, line2, city, postcode, country, is_default, created_at
)
SELECT shop.sample_uuid(p.seed, 'addresses', n), u.id, u.name,
       shop.sample_pick(l.streets, a) || ' ' || 1 + floor(180 * b)::integer,
       CASE WHEN b < 0.15 THEN 'c/o ' || shop.sample_pick(l.family, a) END,
       shop.sample_pick(l.cities, b),
       to_char(floor(c * l.postcodes), l.postcode_format),
       l.country, n <= p.users,
       CASE WHEN n <= p.users THEN u.created_at ELSE u.created_at + (p.moment - u.created_at) * c END
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n,
           shop.sample_draw(p.seed, 'address.street', n) AS a,
           shop.sample_draw(p.seed, 'address.house', n) AS b,
           shop.sample_draw(p.seed, 'address.code', n) AS c,
           shop.sample_uuid(p.seed, 'users', CASE WHEN n <= p.users THEN n ELSE
               shop.sample_user(0, shop.sample_draw(p.seed, 'address.user', n), 2, p.users) END) AS user_id
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    OFFSET 0
) AS place
JOIN shop.users AS u ON u.id = place.user_id
JOIN shop.sample_locales AS l ON l.locale = u.locale
