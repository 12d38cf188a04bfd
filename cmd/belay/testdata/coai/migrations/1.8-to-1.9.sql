ALTER TABLE files ADD COLUMN engine varchar(20) NOT NULL DEFAULT 'v1';
INSERT INTO schema_migrations (version, description) VALUES ('1.9.0', 'file processing');
