-- The table of broadcasts sent by SQL. Its policies, which are for the database's owner to write, also say who may do
-- what on a private channel: select is to receive, insert is to send.
--
-- If another server keeps its notes in realtime.schema_migrations, the schema is that server's and stays as it is, so
-- that its own later steps find what they expect. Otherwise only what is missing is created, and the roles that are
-- there get their grants; a role made later needs `grant usage on schema realtime` and
-- `grant select, insert, update on realtime.messages`. Partitions are made by the gateway, day by day.
do $$
declare
  grantee name;
begin
  if exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'realtime' and c.relname = 'schema_migrations'
  ) then
    return;
  end if;

  if not exists (select from pg_namespace where nspname = 'realtime') then
    create schema realtime;
    for grantee in
      select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role')
    loop
      execute format('grant usage on schema realtime to %I', grantee);
    end loop;
    if to_regrole('postgres') is not null then
      grant usage on schema realtime to postgres with grant option;
    end if;
  end if;

  if to_regclass('realtime.messages') is null then
    create table realtime.messages (
      topic text not null,
      extension text not null,
      payload jsonb,
      event text,
      private boolean default false,
      updated_at timestamp not null default now(),
      inserted_at timestamp not null default now(),
      id uuid not null default gen_random_uuid(),
      binary_payload bytea,
      constraint messages_pkey primary key (id, inserted_at),
      constraint messages_payload_exclusive check (payload is null or binary_payload is null)
    ) partition by range (inserted_at);
    -- What is replayed to a channel that asks for it.
    create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
      where extension = 'broadcast' and private is true;
    alter table realtime.messages enable row level security;

    for grantee in
      select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role')
    loop
      execute format('grant select, insert, update on realtime.messages to %I', grantee);
    end loop;
    for grantee in select rolname from pg_roles where rolname in ('postgres', 'dashboard_user') loop
      execute format('grant all on realtime.messages to %I', grantee);
    end loop;
  end if;
end $$;
