-- The table of broadcasts, streamed. Its partitions are listed by themselves. Needs the ownership of the table and the
-- privilege to create in the database, unless the publication is there and lists it already.
do $$
declare
  messages oid := (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'realtime' and c.relname = 'messages'
  );
begin
  if messages is null then
    raise warning 'there is no realtime.messages: the server whose schema this is has not come that far';
  elsif not exists (select from pg_publication where pubname = 'supabase_realtime_messages_publication') then
    create publication supabase_realtime_messages_publication for table realtime.messages;
  elsif not exists (
    select from pg_publication p left join pg_publication_rel r on r.prpubid = p.oid
    where p.pubname = 'supabase_realtime_messages_publication' and (p.puballtables or r.prrelid = messages)
  ) then
    alter publication supabase_realtime_messages_publication add table realtime.messages;
  end if;
end $$;
