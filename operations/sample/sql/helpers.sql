-- What the loading statements share; removed when they are done (helpers_drop.sql).
-- Everything is a hash of (seed, purpose, number): no state, so slices can be made in any order.

-- In [0, 1).
CREATE FUNCTION shop.sample_draw(seed bigint, purpose text, n bigint) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashint8extended(n, hashtextextended(purpose, seed)) & 9007199254740991)::float8
           / 9007199254740992.0
$$;

-- The n-th key of a table, of UUID version 4: children name their parents without a lookup.
CREATE FUNCTION shop.sample_uuid(seed bigint, purpose text, n bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT overlay(overlay(md5(seed || purpose || n) PLACING '4' FROM 13) PLACING 'a' FROM 17)::uuid
$$;

CREATE FUNCTION shop.sample_pick(list text[], draw float8) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT list[1 + floor(draw * cardinality(list))::integer]
$$;

-- Days before the moment at which row n of `total` was made: rising numbers are younger rows;
-- `recent` above 1 puts more of them into the last months.
CREATE FUNCTION shop.sample_age(span float8, recent float8, n bigint, jitter float8, total bigint)
    RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT span * power(1 - (n - jitter) / total, recent)
$$;

-- A tenth of the people came in the month before the shop's first day, 800 days ago, the others
-- evenly since. sample_user below is its inverse: nobody acts before having signed up.
CREATE FUNCTION shop.sample_signup_age(n bigint, jitter float8, users bigint) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN (n - jitter) / users <= 0.1 THEN 800 + 30 * (1 - 10 * (n - jitter) / users)
                ELSE 800 * (1 - (n - jitter) / users) / 0.9 END
$$;

-- The number of a person who had signed up `age` days ago. Early ones are drawn far more often:
-- with skew 3 the first of 5,000 gets 6 % of all rows and the later half 20 %.
CREATE FUNCTION shop.sample_user(age float8, draw float8, skew float8, users bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 1 + floor(floor(greatest(1, users * (1 - 0.9 * age / 800))) * power(draw, skew))::bigint
$$;

-- From the networks reserved for tests and documentation; a person has four `places`.
CREATE FUNCTION shop.sample_ip(seed bigint, person bigint, place float8) RETURNS inet
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN mod(person, 5) = 0
                THEN inet '2001:db8::' + (hashint8extended(person * 4 + floor(place * place * 4)::bigint, seed)
                                          & 1152921504606846975)
                ELSE inet '198.18.0.0' + (hashint8extended(person * 4 + floor(place * place * 4)::bigint, seed)
                                          & 131071) END
$$;

CREATE FUNCTION shop.sample_user_agent(draw float8) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT shop.sample_pick(ARRAY[
        'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
        'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1',
        'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
        'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15',
        'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0',
        'Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0',
        'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 Edg/125.0.2535.92',
        'StorefrontApp/4.2.1 (Android 13; SM-A546B)', 'StorefrontApp/4.2.0 (iOS 17.4; iPhone14,5)'
    ], draw)
$$;

CREATE TABLE shop.sample_locales (
    locale text PRIMARY KEY,
    share integer NOT NULL,               -- of 100 people
    country char(2) NOT NULL,
    family_first boolean NOT NULL,
    joint text NOT NULL,                  -- what stands between the two names
    given text[] NOT NULL,
    given_ascii text[] NOT NULL,          -- in the same order: the mailbox is made of these
    family text[] NOT NULL,
    family_ascii text[] NOT NULL,
    phone_format text NOT NULL,           -- for to_char; a range its country reserves for fiction,
    phone_numbers integer NOT NULL,       -- elsewhere the North American 555-01xx
    cities text[] NOT NULL,
    streets text[] NOT NULL,
    postcode_format text NOT NULL,
    postcodes integer NOT NULL,
    sentences text[] NOT NULL
);
