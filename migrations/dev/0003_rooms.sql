-- A chat to try things with. Everybody may do everything: there is no row level security here.
create table if not exists public.rooms (
  id bigint generated always as identity primary key,
  name text not null unique,
  created_at timestamptz not null default now()
);

create table if not exists public.room_messages (
  id bigint generated always as identity primary key,
  room text not null default 'lobby',
  author text not null default 'somebody',
  body text not null,
  created_at timestamptz not null default now()
);

grant select, insert, update, delete on public.rooms, public.room_messages to anon, authenticated, service_role;

insert into public.rooms (name) values ('lobby') on conflict do nothing;

do $$
declare
  table_name name;
begin
  foreach table_name in array array['rooms', 'room_messages']::name[] loop
    if not exists (
      select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = table_name
    ) then
      execute format('alter publication supabase_realtime add table public.%I', table_name);
    end if;
  end loop;
end $$;
