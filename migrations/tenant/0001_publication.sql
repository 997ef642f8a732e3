-- The list of tables whose changes clients may see. It starts empty; `alter publication supabase_realtime add table …`
-- fills it. Needs the privilege to create in the database, unless the publication is there already.
do $$ begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
end $$;
