//! The policies of the scenarios, and the table one of them reads. One policy is in force at a time.

/// Users there may be.
pub(super) const USERS: u64 = 100_000;
/// Users in a team, which is a topic.
pub(super) const TEAM: u64 = 10;

/// A look at the topic and the claims.
pub(super) const BY_CLAIM: &str = "realtime.topic() = 'room:' || (auth.jwt() ->> 'room')";
/// A look into a table besides.
pub(super) const BY_MEMBERSHIP: &str = "exists (select from public.bench_members m \
     where m.user_id = auth.uid() and m.topic = realtime.topic())";

/// Who is a member of which team.
pub(super) fn tables() -> String {
    format!(
        "create table public.bench_members (user_id uuid, topic text, primary key (user_id, topic));\n\
         grant select on public.bench_members to authenticated;\n\
         insert into public.bench_members \
           select ('00000000-0000-4000-8000-' || lpad(to_hex(u), 12, '0'))::uuid, 'team:' || u / {TEAM} \
           from generate_series(0, {USERS} - 1) u;\n\
         analyze;\n"
    )
}

/// Puts a policy in force instead of the one before: it says who may listen to and who may write on which topic.
pub(super) fn put_in_force(policy: &str) -> String {
    let condition = format!("realtime.messages.extension in ('broadcast', 'presence') and {policy}");
    format!(
        "drop policy if exists bench_reads on realtime.messages;\n\
         drop policy if exists bench_writes on realtime.messages;\n\
         create policy bench_reads on realtime.messages for select to authenticated using ({condition});\n\
         create policy bench_writes on realtime.messages for insert to authenticated with check ({condition});\n"
    )
}

/// The id of a user.
pub(super) fn user(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}
