INSERT INTO shop.users (
    id, email, name, phone, locale, avatar_url, password_hash, internal_notes, tags, referred_by,
    last_seen_at, created_at
)
SELECT shop.sample_uuid(p.seed, 'users', n),
       CASE WHEN odd < 0.03 THEN initcap(mailbox COLLATE "C") ELSE mailbox END,
       CASE WHEN l.family_first THEN l.family[family_at] || l.joint || l.given[given_at]
            ELSE l.given[given_at] || l.joint || l.family[family_at] END,
       CASE WHEN contact < 0.75 THEN to_char(floor(contact / 0.75 * l.phone_numbers), l.phone_format) END,
       l.locale,
       CASE WHEN odd > 0.4 THEN 'https://cdn.example.com/avatars/' || md5(p.seed || 'avatar' || n) || '.webp' END,
       '$argon2id$v=19$m=65536,t=3,p=4$' || left(md5(p.seed || 'salt' || n), 22) || '$'
       || rtrim(encode(sha256(convert_to(p.seed || 'password' || n, 'UTF8')), 'base64'), '='),
       CASE WHEN odd < 0.08
            THEN shop.sample_pick(ARRAY['Called twice about a refund.', 'Pays late, be patient.',
                     'Knows the founder.', 'Chargeback in the past: check orders over 500.',
                     'Prefers to be written to, hard of hearing.'], odd / 0.08) END,
       CASE WHEN n <= p.users / 50 THEN '{vip,newsletter}' WHEN odd > 0.55 THEN '{newsletter}'
            ELSE '{}' END::text[],
       CASE WHEN n > 1 AND contact > 0.85
            THEN shop.sample_uuid(p.seed, 'users', 1 + floor((n - 1) * (contact - 0.85) / 0.15)::bigint) END,
       CASE WHEN odd NOT BETWEEN 0.2 AND 0.25
            THEN p.moment - interval '24 hours' * (age * power(shop.sample_draw(p.seed, 'user.seen', n), 3)) END,
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    -- OFFSET 0 keeps the planner from repeating these expressions wherever they are used.
    SELECT n,
           shop.sample_draw(p.seed, 'user.odd', n) AS odd,
           shop.sample_draw(p.seed, 'user.contact', n) AS contact,
           floor(100 * shop.sample_draw(p.seed, 'user.locale', n))::integer AS slot,
           1 + floor(10 * shop.sample_draw(p.seed, 'user.given', n))::integer AS given_at,
           1 + floor(10 * shop.sample_draw(p.seed, 'user.family', n))::integer AS family_at,
           shop.sample_signup_age(n, shop.sample_draw(p.seed, 'user.age', n), p.users) AS age
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    OFFSET 0
) AS person
JOIN shop.sample_locale_slots USING (slot)
JOIN shop.sample_locales AS l USING (locale)
CROSS JOIN LATERAL (
    SELECT l.given_ascii[given_at] || '.' || l.family_ascii[family_at] || n || '@'
           || shop.sample_pick(ARRAY['example.com', 'example.org', 'example.net'], contact) AS mailbox
) AS address
