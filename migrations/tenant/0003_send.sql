-- What SQL calls to broadcast, and what policies call to learn the topic they are asked about. As with the table: a
-- schema that is another server's is left alone, and a function that exists stays.
do $$
declare
  made regprocedure[] := '{}';
  grantee name;
begin
  if exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'realtime' and c.relname = 'schema_migrations'
  ) then
    return;
  end if;

  if to_regprocedure('realtime.topic()') is null then
    execute $function$
      create function realtime.topic() returns text language sql stable as
        'select nullif(current_setting(''realtime.topic'', true), '''')'
    $function$;
    made := made || to_regprocedure('realtime.topic()');
  end if;

  -- Sending never fails its caller: what goes wrong is a warning, and the message is not stored. The topic stays set
  -- for the rest of the transaction.
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null then
    execute $function$
      create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
      returns void language plpgsql as $body$
      declare
        message_id uuid := gen_random_uuid();
      begin
        perform set_config('realtime.topic', send.topic, true);
        insert into realtime.messages (id, topic, extension, event, private, payload)
        values (
          message_id, send.topic, 'broadcast', send.event, send.private,
          -- An id of the sender's stays, whatever it is.
          case when send.payload ? 'id' then send.payload
            else jsonb_set(send.payload, '{id}', to_jsonb(message_id)) end
        );
      exception when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
      end $body$
    $function$;
    made := made || to_regprocedure('realtime.send(jsonb, text, text, boolean)');
  end if;

  if to_regprocedure('realtime.send_binary(bytea, text, text, boolean)') is null then
    execute $function$
      create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
      returns void language plpgsql as $body$
      begin
        perform set_config('realtime.topic', send_binary.topic, true);
        insert into realtime.messages (topic, extension, event, private, binary_payload)
        values (
          send_binary.topic, 'broadcast', send_binary.event, send_binary.private, send_binary.payload
        );
      exception when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
      end $body$
    $function$;
    made := made || to_regprocedure('realtime.send_binary(bytea, text, text, boolean)');
  end if;

  -- For triggers. A misuse does fail the statement that set the trigger off.
  if to_regprocedure('realtime.broadcast_changes(text, text, text, text, text, record, record, text)') is null then
    execute $function$
      create function realtime.broadcast_changes(
        topic_name text, event_name text, operation text, table_name text, table_schema text,
        new record, old record, level text default 'ROW'
      ) returns void language plpgsql as $body$
      begin
        if level = 'STATEMENT' then
          raise exception 'function can only be triggered for each row, not for each statement';
        elsif operation in ('INSERT', 'UPDATE', 'DELETE') then
          perform realtime.send(
            jsonb_build_object(
              'schema', table_schema, 'table', table_name, 'operation', operation, 'record', new, 'old_record', old
            ),
            event_name, topic_name
          );
        else
          raise exception 'Unexpected operation type: %', operation;
        end if;
      exception when others then
        raise exception 'Failed to process the row: %', sqlerrm;
      end $body$
    $function$;
    made := made
      || to_regprocedure('realtime.broadcast_changes(text, text, text, text, text, record, record, text)');
  end if;

  -- Everybody may execute a function unless that is revoked; these two keep it then.
  for grantee in select rolname from pg_roles where rolname in ('postgres', 'dashboard_user') loop
    for at in 1 .. cardinality(made) loop
      execute format('grant execute on function %s to %I', made[at], grantee);
    end loop;
  end loop;
end $$;
