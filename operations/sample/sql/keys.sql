-- Foreign keys of every ON DELETE kind, and the indexes a real application has: three columns that
-- point elsewhere have none (users.referred_by, orders.shipping_address_id, order_lines.product_id).
-- Nothing points at a table that a retention policy empties.

ALTER TABLE shop.users ADD UNIQUE (email),
    ADD FOREIGN KEY (referred_by) REFERENCES shop.users ON DELETE SET NULL;
CREATE UNIQUE INDEX users_email_lower ON shop.users (email_lower);
CREATE INDEX users_last_seen_at ON shop.users (last_seen_at);

ALTER TABLE shop.addresses
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE CASCADE;
CREATE INDEX addresses_user ON shop.addresses (user_id);
CREATE UNIQUE INDEX addresses_one_default ON shop.addresses (user_id) WHERE is_default;

ALTER TABLE shop.sessions
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE CASCADE;
CREATE INDEX sessions_user ON shop.sessions (user_id);
CREATE INDEX sessions_created_at ON shop.sessions (created_at);

ALTER TABLE shop.products ADD UNIQUE (sku);

ALTER TABLE shop.orders
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE RESTRICT,
    ADD FOREIGN KEY (shipping_address_id) REFERENCES shop.addresses ON DELETE SET NULL;
CREATE INDEX orders_user ON shop.orders (user_id, created_at);

ALTER TABLE shop.order_lines
    ADD FOREIGN KEY (order_id) REFERENCES shop.orders ON DELETE CASCADE,
    ADD FOREIGN KEY (product_id) REFERENCES shop.products ON DELETE RESTRICT;

ALTER TABLE shop.messages
    ADD FOREIGN KEY (sender_id) REFERENCES shop.users ON DELETE SET NULL,
    ADD FOREIGN KEY (recipient_id) REFERENCES shop.users ON DELETE SET NULL;
CREATE INDEX messages_sender ON shop.messages (sender_id);
CREATE INDEX messages_recipient ON shop.messages (recipient_id);

ALTER TABLE shop.notifications
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE CASCADE;
CREATE INDEX notifications_user ON shop.notifications (user_id);
CREATE INDEX notifications_unread ON shop.notifications (user_id) WHERE read_at IS NULL;

ALTER TABLE shop.notification_preferences
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE CASCADE;

ALTER TABLE shop.password_reset_tokens ADD UNIQUE (token_hash),
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE CASCADE;
CREATE INDEX password_reset_tokens_user ON shop.password_reset_tokens (user_id);

ALTER TABLE shop.analytics_events
    ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE SET NULL;
CREATE INDEX analytics_events_user ON shop.analytics_events (user_id);

ALTER TABLE shop.audit_logs ADD FOREIGN KEY (user_id) REFERENCES shop.users;
CREATE INDEX audit_logs_table_record ON shop.audit_logs (table_name, record_id);
CREATE INDEX audit_logs_user ON shop.audit_logs (user_id);
CREATE INDEX audit_logs_created ON shop.audit_logs (created_at DESC);

ALTER TABLE shop.documents
    ADD FOREIGN KEY (owner_id) REFERENCES shop.users ON DELETE SET DEFAULT,
    ADD FOREIGN KEY (parent_id) REFERENCES shop.documents ON DELETE CASCADE;
CREATE INDEX documents_owner ON shop.documents (owner_id);
CREATE INDEX documents_parent ON shop.documents (parent_id);
CREATE INDEX documents_content ON shop.documents USING gin (content jsonb_path_ops);

-- The rows were numbered by the load: the next one the application writes goes on from there.
SELECT setval('shop.products_id_seq', max(id)) FROM shop.products;
SELECT setval('shop.orders_id_seq', max(id)) FROM shop.orders;
SELECT setval('shop.messages_id_seq', max(id)) FROM shop.messages;
SELECT setval('shop.notifications_id_seq', max(id)) FROM shop.notifications;
SELECT setval('shop.password_reset_tokens_id_seq', max(id)) FROM shop.password_reset_tokens;
SELECT setval('shop.analytics_events_id_seq', max(id)) FROM shop.analytics_events;

ANALYZE shop.users, shop.addresses, shop.sessions, shop.products, shop.orders, shop.order_lines,
    shop.messages, shop.notifications, shop.notification_preferences, shop.password_reset_tokens,
    shop.analytics_events, shop.audit_logs, shop.documents;
