INSERT INTO shop.products (id, sku, name, price, attributes, created_at)
SELECT n, 'SKU-' || lpad(n::text, 6, '0'),
       shop.sample_pick(ARRAY['Merino', 'Linen', 'Oak', 'Ceramic', 'Recycled', 'Café', 'Nordic',
                              'Folding', 'Enamel', 'Travel'], shop.sample_draw(p.seed, 'product.what', n))
       || ' ' ||
       shop.sample_pick(ARRAY['scarf', 'mug', 'lamp', 'notebook', 'kettle', 'backpack', 'blanket',
                              'chair', 'bottle', 'clock'], shop.sample_draw(p.seed, 'product.thing', n))
       || ' No. ' || n,
       round((4 + 200 * power(shop.sample_draw(p.seed, 'product.price', n), 3))::numeric, 2),
       jsonb_build_object(
           'colour', shop.sample_pick(ARRAY['red', 'blue', 'moss', 'ochre', 'black'],
                                      shop.sample_draw(p.seed, 'product.colour', n)),
           'weight_g', 50 + floor(4000 * shop.sample_draw(p.seed, 'product.weight', n))::integer
       ),
       p.moment - interval '24 hours' * (800 + 30 * shop.sample_draw(p.seed, 'product.age', n))
FROM (SELECT %(seed)s::bigint AS seed, %(moment)s::timestamptz AS moment) AS p,
     generate_series(%(first)s::bigint, %(last)s::bigint) AS n
