ALTER TABLE public.posts DROP CONSTRAINT posts_author_fkey, ADD CONSTRAINT posts_author_fkey FOREIGN KEY (author) REFERENCES auth.users;
DROP TABLE public.users;
