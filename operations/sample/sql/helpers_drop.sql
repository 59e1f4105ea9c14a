DROP TABLE shop.sample_locale_slots, shop.sample_locales;
DROP FUNCTION shop.sample_user_agent(float8);
DROP FUNCTION shop.sample_ip(bigint, bigint, float8);
DROP FUNCTION shop.sample_user(float8, float8, float8, bigint);
DROP FUNCTION shop.sample_signup_age(bigint, float8, bigint);
DROP FUNCTION shop.sample_age(float8, float8, bigint, float8, bigint);
DROP FUNCTION shop.sample_pick(text[], float8);
DROP FUNCTION shop.sample_uuid(bigint, text, bigint);
DROP FUNCTION shop.sample_draw(bigint, text, bigint);
