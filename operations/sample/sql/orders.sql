-- Orders and their lines in one statement: an order's subtotal is the sum of its lines.
WITH p AS (
    SELECT %(seed)s::bigint AS seed, %(users)s::bigint AS users, %(rows)s::bigint AS total,
           %(products)s::bigint AS products, %(moment)s::timestamptz AS moment
), purchase AS MATERIALIZED (
    SELECT n, age, shop.sample_draw(p.seed, 'order.a', n) AS a,
           shop.sample_draw(p.seed, 'order.b', n) AS b,
           shop.sample_user(age, shop.sample_draw(p.seed, 'order.user', n), 2, p.users) AS person
    FROM p CROSS JOIN LATERAL (
        SELECT n, shop.sample_age(730, 1.3, n, shop.sample_draw(p.seed, 'order.age', n), p.total) AS age
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        OFFSET 0
    ) AS timed
), line AS MATERIALIZED (
    SELECT n AS order_id, line_number, product.id AS product_id, product.price AS unit_price,
           1 + floor(4 * power(shop.sample_draw(p.seed, 'line.quantity', n * 8 + line_number), 3))::integer
           AS quantity
    FROM p CROSS JOIN purchase
    CROSS JOIN LATERAL generate_series(1, 1 + floor(5 * a * a)::integer) AS line_number
    JOIN shop.products AS product
      ON product.id = 1 + floor(p.products * power(shop.sample_draw(p.seed, 'line.product', n * 8 + line_number), 2))::integer
), lines_made AS (
    INSERT INTO shop.order_lines (order_id, line_number, product_id, quantity, unit_price)
    SELECT order_id, line_number, product_id, quantity, unit_price FROM line
)
INSERT INTO shop.orders (
    id, user_id, shipping_address_id, status, currency, subtotal, shipping_cost, discount,
    customer_note, paid_at, created_at
)
OVERRIDING SYSTEM VALUE
SELECT n, shop.sample_uuid(p.seed, 'users', person),
       CASE WHEN b < 0.93 THEN shop.sample_uuid(p.seed, 'addresses', person) END,
       (CASE WHEN age < 3 AND b < 0.7 THEN CASE WHEN b < 0.2 THEN 'pending' ELSE 'paid' END
             WHEN age < 8 AND b < 0.8 THEN 'shipped'
             WHEN b > 0.95 THEN 'refunded' WHEN b > 0.9 THEN 'cancelled'
             ELSE 'delivered' END)::shop.order_status,
       CASE WHEN mod(person, 4) = 0 THEN 'USD' WHEN mod(person, 9) = 0 THEN 'GBP' ELSE 'EUR' END,
       bill.subtotal,
       CASE WHEN bill.subtotal > 80 THEN 0 ELSE 4.90 END,
       CASE WHEN a > 0.85 THEN round(bill.subtotal * 0.1, 2) ELSE 0 END,
       CASE WHEN a < 0.06 THEN shop.sample_pick(ARRAY['Please ring twice.', 'Leave it with the neighbour.',
                                   'Gift wrap, please.', 'Bitte nicht klingeln, Baby schläft.'], a / 0.06) END,
       CASE WHEN NOT (age < 3 AND b < 0.2) THEN p.moment - interval '24 hours' * (age * 0.999) END,
       p.moment - interval '24 hours' * age
FROM p CROSS JOIN purchase
JOIN (SELECT order_id, sum(quantity * unit_price) AS subtotal FROM line GROUP BY order_id) AS bill
  ON bill.order_id = n
ORDER BY n
