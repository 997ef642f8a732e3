//! The conversations recorded from the reference, replayed against the real binary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use client::Endpoint;
use pgcluster::TestCluster;
use replayer::{
    Deviations, Judgement, Options, Target, load, prepare_database, profile_settings, replay, report,
};
use serde_json::{Map, Value, json};
use tests::gateway::Gateway;
use tests::peer::SECRET;
use transcript::Transcript;

/// The area whose conversations need the tenants API, which there is none of.
const OF_TENANTS_API: &str = "tenant";

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_conversations_go_as_they_went() {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-spec");
    let transcripts = load(&spec.join("transcripts"));
    let profiles = profiles(&transcripts);

    let cluster = TestCluster::shared();
    // The profile `control` changes its publication, so it has a database of its own.
    let databases = Databases {
        main: cluster.create_database("transcripts"),
        control: cluster.create_database("transcripts_control"),
    };
    for database in [&databases.main, &databases.control] {
        prepare_database(database).await.expect("the fixtures apply");
    }
    let folder = std::env::temp_dir().join(format!("roost-transcripts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let file = folder.join("tenants.json");
    std::fs::write(&file, tenants_file(&profiles, &databases).to_string()).expect("a file in it");
    let gateway = Gateway::serve(&["--tenants", &file.display().to_string(), "--migrate"]);
    let with_database = profiles
        .iter()
        .filter(|(profile, _)| databases.of(profile).is_some());
    for _ in 0..with_database.map(|(_, (_, count))| count).sum() {
        gateway.wait_for_log("private channels are on", "tenant");
    }
    // The policies on realtime.messages, which was not there before.
    for database in [&databases.main, &databases.control] {
        prepare_database(database)
            .await
            .expect("the fixtures apply again");
    }

    let target = target(&profiles, &databases);
    let target = Target::parse(
        Endpoint::parse(&format!("ws://{}", gateway.address())).expect("an address"),
        &target.to_string(),
    )
    .expect("a target");
    let outcomes = replay(transcripts, &target, Options::default(), &mut |_| {}).await;
    std::fs::remove_dir_all(&folder).expect("it was made above");

    let deviations = std::fs::read_to_string(spec.join("deviations.toml")).expect("a list of deviations");
    let deviations = Deviations::parse(&deviations).expect("a valid list");
    let mut problems = String::new();
    for outcome in &outcomes {
        let judgement = deviations.judge(outcome);
        let is_left_out = judgement == Judgement::LeftOut && outcome.area != OF_TENANTS_API;
        if judgement.is_bad() || is_left_out {
            let _ = write!(problems, "{}", report::line(outcome, &deviations));
        }
    }
    println!("\n{}", report::summary(&outcomes, &deviations));
    assert!(problems.is_empty(), "{problems}");
    let passed = report::Counts::of(&outcomes, &deviations).passed;
    assert!(passed > 145, "most of them pass: {passed}");
}

fn load(folder: &Path) -> Vec<Transcript> {
    let files = load::find(&[folder.display().to_string()]).expect("the folder of transcripts");
    let read = |file: &PathBuf| load::read(file).expect("a valid transcript");
    files.iter().map(read).collect()
}

/// The settings of each profile, and how many tenants with them are needed: a transcript that wants a fresh one uses it up.
fn profiles(transcripts: &[Transcript]) -> BTreeMap<String, (Value, usize)> {
    let counted = |(name, settings): (String, Map<String, Value>)| {
        let fresh = transcripts
            .iter()
            .filter(|it| it.header.fresh_tenant && it.header.tenant == name)
            .count();
        (name, (Value::Object(settings), fresh + 1))
    };
    profile_settings().into_iter().map(counted).collect()
}

/// The connection strings of the tenants' databases.
struct Databases {
    main: String,
    control: String,
}

impl Databases {
    /// The other profiles differ in their limits, for which no database is needed.
    fn of(&self, profile: &str) -> Option<&str> {
        match profile {
            "main" | "private_only" => Some(&self.main),
            "control" => Some(&self.control),
            _ => None,
        }
    }
}

/// The tenants of a profile: `main-0`, `main-1`, ….
fn labels(profile: &str, count: usize) -> impl Iterator<Item = String> {
    let profile = profile.replace('_', "-");
    (0..count).map(move |number| format!("{profile}-{number}"))
}

fn tenants_file(profiles: &BTreeMap<String, (Value, usize)>, databases: &Databases) -> Value {
    let mut tenants = Map::new();
    for (profile, (settings, count)) in profiles {
        for label in labels(profile, *count) {
            let mut settings = settings.clone();
            settings["jwt_secret"] = json!(SECRET);
            if let Some(database) = databases.of(profile) {
                settings["database_url"] = json!(database);
            }
            tenants.insert(label, settings);
        }
    }
    Value::Object(tenants)
}

fn target(profiles: &BTreeMap<String, (Value, usize)>, databases: &Databases) -> Value {
    let tenants = |(profile, (_, count)): (&String, &(Value, usize))| {
        let tenants: Vec<_> = labels(profile, *count)
            .map(|name| json!({"name": name, "jwt_secret": SECRET, "host": format!("{name}.localhost"), "database": databases.of(profile)}))
            .collect();
        (profile.clone(), Value::Array(tenants))
    };
    json!({"profiles": Value::Object(profiles.iter().map(tenants).collect())})
}
