ALTER TABLE public.posts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.follows ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Everybody reads public posts" ON public.posts FOR SELECT TO anon, authenticated USING (seen = 'public');
CREATE POLICY "Authors write their own" ON public.posts FOR ALL TO authenticated USING (auth.uid() = author) WITH CHECK (auth.uid() = author);
CREATE POLICY "Own follows" ON public.follows FOR ALL TO authenticated USING (auth.uid() = who);
