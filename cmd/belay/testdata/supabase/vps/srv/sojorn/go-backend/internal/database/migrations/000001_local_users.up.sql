-- Users are the backend's own from now on.
CREATE TABLE public.users (
    id uuid PRIMARY KEY,
    email varchar(255) UNIQUE,
    password_hash varchar(255),
    handle text,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO public.users (id, email, password_hash, handle, created_at)
SELECT id, email, encrypted_password, raw_user_meta_data ->> 'handle', coalesce(created_at, now()) FROM auth.users;
ALTER TABLE public.posts DROP CONSTRAINT posts_author_fkey, ADD CONSTRAINT posts_author_fkey FOREIGN KEY (author) REFERENCES public.users;
