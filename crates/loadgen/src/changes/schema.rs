//! The tables of the scenarios, in the private database: one each, so that none is told of another's rows.
//!
//! All have the same shape, a bigint as primary key and some hundred bytes besides. Row n belongs to listener n modulo
//! their number, wherever it matters who a row is for.

/// The publication the gateway follows.
pub(super) const PUBLICATION: &str = "supabase_realtime";
/// Everybody may see its rows.
pub(super) const OPEN: &str = "bench_open";
/// Published as well, and nobody listens to it.
pub(super) const UNHEARD: &str = "bench_unheard";
/// A row is its owner's.
pub(super) const OWNED: &str = "bench_owned";
/// A row is its group's, and who is in the group says another table.
pub(super) const SHARED: &str = "bench_shared";

/// Listeners that each have rows of their own, and users under row level security.
pub(super) const USERS: u64 = 500;
/// Groups of [`SHARED`]; user u is in group u modulo their number.
pub(super) const GROUPS: u64 = 50;

/// Tables, policies and publication.
pub(super) fn tables() -> String {
    let table = |name: &str| {
        format!(
            "create table public.{name} (id bigint primary key, key bigint not null, owner uuid not null, \
             body text not null);\n\
             grant select on public.{name} to anon, authenticated;\n\
             alter publication {PUBLICATION} add table public.{name};\n"
        )
    };
    let tables: String = [OPEN, UNHEARD, OWNED, SHARED].map(table).concat();
    let user = user_expression("u");
    format!(
        "{tables}\
         create table public.bench_members (user_id uuid, group_id bigint, primary key (user_id, group_id));\n\
         grant select on public.bench_members to anon, authenticated;\n\
         insert into public.bench_members select {user}, u % {GROUPS} from generate_series(0, {USERS} - 1) u;\n\
         alter table public.{OWNED} enable row level security;\n\
         create policy own on public.{OWNED} for select to authenticated using (auth.uid() = owner);\n\
         alter table public.{SHARED} enable row level security;\n\
         create policy shared on public.{SHARED} for select to authenticated using (exists (\n\
           select 1 from public.bench_members m where m.user_id = auth.uid() and m.group_id = {SHARED}.key));\n\
         analyze;\n"
    )
}

/// Inserts the rows `$1` to `$2`; `keys` is the number of different keys.
pub(super) fn insertion(table: &str, keys: u64) -> String {
    let owner = user_expression(&format!("n % {USERS}"));
    format!(
        "insert into public.{table} (id, key, owner, body) \
         select n, n % {keys}, {owner}, repeat('x', 100) from generate_series($1::bigint, $2::bigint) n"
    )
}

/// The id of a user.
pub(super) fn user(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The same in SQL, of an expression.
fn user_expression(number: &str) -> String {
    format!("('00000000-0000-4000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid")
}
