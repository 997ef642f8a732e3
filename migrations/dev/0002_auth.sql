-- What policies ask about the caller: its id, its role, its claims. Functions that exist are somebody else's and stay.
create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;

do $$ begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable as
      'select nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb';
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as
      'select (auth.jwt() ->> ''sub'')::uuid';
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable as
      'select auth.jwt() ->> ''role''';
  end if;
end $$;
