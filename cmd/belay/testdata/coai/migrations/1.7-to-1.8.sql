CREATE TABLE channels (id int AUTO_INCREMENT PRIMARY KEY, name varchar(100) NOT NULL, config json);
INSERT INTO channels (name, config) VALUES ('OpenAI', '{"weight": 1}');
INSERT INTO schema_migrations (version, description) VALUES ('1.8.0', 'channels');
