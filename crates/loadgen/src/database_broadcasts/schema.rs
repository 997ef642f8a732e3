//! Who may listen, and the statements that send: messages number `$1` to `$2`, some hundred bytes each.

/// The publication of the messages.
pub(super) const PUBLICATION: &str = "supabase_realtime_messages_publication";
/// All messages are on it, without `realtime:`.
pub(super) const TOPIC: &str = "bench";

/// Calls the function for each.
pub(super) const SEND: &str = "select realtime.send(jsonb_build_object('n', n, 'body', repeat('x', 100)), 'load', 'bench') \
     from generate_series($1::bigint, $2::bigint) n";
/// Inserts them all, as the function does one.
pub(super) const INSERT: &str = "insert into realtime.messages (topic, extension, event, private, payload) \
     select 'bench', 'broadcast', 'load', true, jsonb_build_object('n', n, 'body', repeat('x', 100)) \
     from generate_series($1::bigint, $2::bigint) n";

/// The policy by which listeners are let in.
pub(super) fn tables() -> String {
    format!(
        "create policy bench_reads on realtime.messages for select to authenticated \
         using (realtime.topic() = '{TOPIC}' and auth.uid() is not null);\n"
    )
}
