CREATE TABLE roles (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50) NOT NULL UNIQUE, description text, permissions json);
CREATE TABLE permissions (id int AUTO_INCREMENT PRIMARY KEY, name varchar(100) NOT NULL UNIQUE);
CREATE TABLE user_roles (user_id int NOT NULL, role_id int NOT NULL, PRIMARY KEY (user_id, role_id), FOREIGN KEY (user_id) REFERENCES users (id), FOREIGN KEY (role_id) REFERENCES roles (id));
ALTER TABLE conversations ADD COLUMN metadata json;
ALTER TABLE channels ADD COLUMN format_version int NOT NULL DEFAULT 2;
INSERT INTO schema_migrations (version, description) VALUES ('2.0.0', 'roles');
