-- In fours: a document, two that hang on it, one by itself; the four have one owner.
INSERT INTO shop.documents (id, owner_id, parent_id, title, content, tags, updated_at, created_at)
SELECT shop.sample_uuid(p.seed, 'documents', n), u.id,
       CASE WHEN mod(n - 1, 4) IN (1, 2) THEN shop.sample_uuid(p.seed, 'documents', n - mod(n - 1, 4)) END,
       shop.sample_pick(ARRAY['Invoice', 'Warranty claim', 'Gutschein', 'Reklamation', 'Facture',
                              'Contrato', '見積書'], b) || ' ' || n,
       jsonb_build_object(
           'language', u.locale,
           'customer', jsonb_build_object('name', u.name, 'email', u.email),
           'paragraphs', jsonb_build_array(shop.sample_pick(l.sentences, a), shop.sample_pick(l.sentences, b)),
           'amount', round((500 * a * a)::numeric, 2), 'signed', b < 0.5
       ),
       CASE WHEN a < 0.3 THEN '{billing}' WHEN a < 0.5 THEN '{billing,claim}' ELSE '{}' END::text[],
       p.moment - interval '24 hours' * (age * a),
       p.moment - interval '24 hours' * age
FROM (SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
             %(moment)s::timestamptz AS moment) AS p
CROSS JOIN LATERAL (
    SELECT n, age,
           shop.sample_draw(p.seed, 'document.a', n) AS a,
           shop.sample_draw(p.seed, 'document.b', n) AS b,
           CASE WHEN shop.sample_draw(p.seed, 'document.shop', (n - 1) / 4) < 0.03
                THEN '00000000-0000-0000-0000-000000000000'::uuid
                ELSE shop.sample_uuid(p.seed, 'users', shop.sample_user(
                    age_of_first, shop.sample_draw(p.seed, 'document.owner', (n - 1) / 4), 2, p.users))
           END AS owner_id
    FROM (
        SELECT n,
               shop.sample_age(730, 1.2, n, shop.sample_draw(p.seed, 'document.age', n), p.total) AS age,
               shop.sample_age(730, 1.2, n - mod(n - 1, 4), 1, p.total) AS age_of_first
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        OFFSET 0
    ) AS timed
    OFFSET 0
) AS paper
JOIN shop.users AS u ON u.id = paper.owner_id
JOIN shop.sample_locales AS l ON l.locale = u.locale
ORDER BY n
