ALTER TABLE conversations ADD COLUMN total_tokens int NOT NULL DEFAULT 0;
UPDATE conversations SET total_tokens = 10 * id, updated_at = updated_at;
INSERT INTO schema_migrations (version, description) VALUES ('1.7.0', 'tokens');
