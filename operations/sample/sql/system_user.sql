-- The owner of documents whose owner was deleted: the default that ON DELETE SET DEFAULT falls to.
INSERT INTO shop.users (id, email, name, password_hash, internal_notes, created_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'storefront@example.com', 'Storefront',
        '!', 'The shop itself. Nobody signs in as this user.',
        %(moment)s::timestamptz - interval '24 hours' * 840)
