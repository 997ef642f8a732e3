-- The roles a Supabase database brings along. Roles belong to the whole cluster: another database's migration may be
-- creating the same ones at this moment.
do $$
declare
  role record;
begin
  for role in select * from (values
    ('anon', 'nologin noinherit'),
    ('authenticated', 'nologin noinherit'),
    ('service_role', 'nologin noinherit bypassrls'),
    ('authenticator', 'login noinherit')
  ) as roles (name, attributes) loop
    begin
      if to_regrole(role.name) is null then
        execute format('create role %I %s', role.name, role.attributes);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;

  begin
    grant anon, authenticated, service_role to authenticator;
  exception when unique_violation then
    null;
  end;
end $$;

grant usage on schema public to anon, authenticated, service_role;
