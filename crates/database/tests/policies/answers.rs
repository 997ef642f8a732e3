//! Whenever memory has an answer, it is the database's.

use std::collections::HashSet;
use std::sync::Arc;

use changes::pgoutput::{Begin, Delete, Insert, OldTuple, Tuple, Update, Value};
use changes::policy::{Image, RowPolicies, Viewer};
use changes::{Mapping, Relation, RelationColumn, ReplicaIdentity, RowChange, Table, Timestamp};
use database::Pool;
use pgcluster::TestCluster;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::grammar::{Dice, SETUP, claims, condition, row};
use super::{AUTH, database};

const AUTHS: [&str; 4] = [
    "",
    // As the reference has them.
    "create or replace function auth.jwt() returns jsonb language sql stable as $$
       select coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
     create or replace function auth.uid() returns uuid language sql stable as $$
       select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
         (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid $$;
     create or replace function auth.role() returns text language sql stable as $$
       select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
         (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'))::text $$;",
    // As they were once, and with another default.
    "create or replace function auth.uid() returns uuid language sql stable set search_path = '' as $$
       select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid; $$;
     create or replace function auth.role() returns text language sql stable as $$
       SELECT COALESCE(NULLIF(auth.jwt() ->> 'role', ''), 'anon') AS role -- a comment
     $$;",
    // Of no known meaning.
    "create or replace function auth.uid() returns uuid language plpgsql stable as $$
       begin return (auth.jwt() ->> 'sub')::uuid; end $$;
     create or replace function auth.role() returns text language sql stable as $$ select lower(auth.jwt() ->> 'role') $$;",
];

/// The table as the stream would describe it, with all of a former row in the log.
fn mapping(table: &Table) -> Mapping {
    let columns = table.columns.iter().map(|column| RelationColumn {
        name: column.name.clone(),
        type_oid: column.r#type.oid,
        type_modifier: -1,
        is_key: true,
    });
    let relation = Relation {
        oid: table.oid,
        schema: table.schema.clone(),
        name: table.name.clone(),
        replica_identity: ReplicaIdentity::Full,
        columns: columns.collect(),
    };
    Mapping::new(Arc::new(table.clone()), Arc::new(relation))
}

const BEGIN: Begin = Begin {
    final_lsn: 0,
    timestamp: Timestamp(0),
    xid: 0,
};

async fn connect(cluster: &TestCluster, database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.superuser_dsn(database), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("set timezone = 'UTC'; set datestyle = 'ISO'; set extra_float_digits = 3")
        .await
        .unwrap();
    client
}

/// The rows as the log would have them.
async fn rows(client: &Client) -> Vec<Vec<Option<String>>> {
    let rows = client.simple_query("select * from t order by id").await.unwrap();
    let rows = rows.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    });
    rows.collect()
}

/// A change for each image of a row. An update leaves some values alone that are stored elsewhere.
fn changes<'a>(
    dice: &mut Dice,
    mapping: &'a Mapping,
    row: &'a [Option<String>],
) -> [(RowChange<'a>, Image); 3] {
    let relation = mapping.table().oid;
    let tuple: Tuple<'a> = row
        .iter()
        .map(|value| value.as_deref().map_or(Value::Null, Value::Text))
        .collect();
    let mut gaps = tuple.clone();
    for value in gaps.iter_mut().skip(1) {
        if dice.one_in(5) {
            *value = Value::UnchangedToast;
        }
    }
    let old = OldTuple::Full(tuple.clone());
    let insert = Insert { relation, new: tuple };
    let update = Update {
        relation,
        old: None,
        new: gaps,
    };
    let delete = Delete { relation, old };
    [
        (RowChange::insert(mapping, &BEGIN, insert).unwrap(), Image::New),
        (RowChange::update(mapping, &BEGIN, update).unwrap(), Image::New),
        (RowChange::delete(mapping, &BEGIN, delete).unwrap(), Image::Old),
    ]
}

/// Creates some policies and returns how many.
async fn create_policies(dice: &mut Dice, client: &Client) -> usize {
    let mut created = 0;
    for number in 0..1 + dice.roll(3) {
        let restrictive = if dice.one_in(4) { "as restrictive" } else { "" };
        let to = dice.pick(&["public", "public", "viewer_one, viewer_two", "viewer_staff"]);
        let using = match dice.roll(25) {
            0 => String::new(),
            _ => {
                let depth = dice.roll(3);
                format!("using ({})", condition(dice, depth))
            }
        };
        let statement = format!("create policy p{number} on t {restrictive} for select to {to} {using}");
        // The grammar does not know which types go together.
        created += usize::from(client.batch_execute(&statement).await.is_ok());
    }
    created
}

#[tokio::test]
async fn memory_never_disagrees_with_the_database() {
    let (cluster, dsn) = database("policies_answers");
    let client = connect(cluster, "policies_answers").await;
    client.batch_execute(SETUP).await.unwrap();
    let mut dice = Dice(0x5eed_cafe_f00d_1234);
    let values: Vec<_> = (1..=14).map(|id| row(&mut dice, id)).collect();
    let insert = format!("insert into t values {}", values.join(", "));
    client.batch_execute(&insert).await.unwrap();
    let rows = rows(&client).await;
    let pool = Pool::new(dsn, 1);
    let published = pool.published("p").await.unwrap();
    let mapping = mapping(&published.tables[0]);
    let (table, oid) = (mapping.table(), mapping.table().oid);

    let (mut sets, mut proven, mut asked, mut answered, mut seen_in_memory) = (0, 0, 0, 0, 0);
    for round in 0..ROUNDS {
        if round % (ROUNDS / AUTHS.len()) == 0 {
            client.batch_execute(AUTH).await.unwrap();
            client
                .batch_execute(AUTHS[round * AUTHS.len() / ROUNDS])
                .await
                .unwrap();
        }
        let drop =
            "drop policy if exists p0 on t; drop policy if exists p1 on t; drop policy if exists p2 on t";
        client.batch_execute(drop).await.unwrap();
        if create_policies(&mut dice, &client).await == 0 {
            continue;
        }
        sets += 1;
        let policies = pool
            .policies(&["viewer_one", "viewer_two"], &[oid])
            .await
            .unwrap();
        for role in ["viewer_one", "viewer_two"] {
            let compiled = RowPolicies::compile(table, policies.of(oid, role).unwrap());
            proven += usize::from(compiled.proven());
            let claims: Vec<String> = (0..VIEWERS).map(|_| claims(&mut dice, 1)).collect();
            let told = client
                .query("select seen($1, claims) from unnest($2::text[]) with ordinality u (claims, at) order by at", &[&role, &claims])
                .await
                .unwrap();
            for (claims, told) in claims.iter().zip(&told) {
                let told: &str = told.get(0);
                let viewer = compiled.bind(&Viewer::new(role, claims));
                let visible: HashSet<&str> = told.split(',').collect();
                for row in &rows {
                    let id = row[0].as_deref().unwrap();
                    for (change, image) in changes(&mut dice, &mapping, row) {
                        asked += 1;
                        let Some(sees) = compiled.sees(&compiled.read(&change, image), &viewer) else {
                            continue;
                        };
                        answered += 1;
                        seen_in_memory += usize::from(sees);
                        let described: Vec<_> = compiled.describe().collect();
                        assert!(
                            !told.starts_with("failed") && sees == visible.contains(id),
                            "memory: {sees}, database: {told}\n{role} {claims}\n{row:?}\n{described:#?}"
                        );
                    }
                }
            }
        }
    }
    let counts = format!(
        "{sets} sets of policies, {proven} of {} compiled; {answered} of {asked} answered, {seen_in_memory} seen",
        2 * sets
    );
    println!("{counts}");
    assert!(sets > ROUNDS / 3, "{counts}");
    assert!(proven > 2 * sets / 4, "{counts}");
    assert!(answered > asked / 5, "{counts}");
    assert!(seen_in_memory > answered / 10, "{counts}");
}

const ROUNDS: usize = 400;
const VIEWERS: usize = 6;
