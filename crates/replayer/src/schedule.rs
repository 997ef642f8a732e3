//! Which transcript runs when, and on which tenant.
//!
//! Transcripts of one lock form a chain and run one after the other; chains, and transcripts without a lock, run side by
//! side, those that take longest first. A transcript that needs a fresh tenant gets one that no other one has.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use transcript::{Settings, Transcript};

use crate::fixtures::KEYS;
use crate::outcome::{Outcome, Verdict};
use crate::run::run;
use crate::target::{Target, Tenant};
use crate::token::KeyRing;

/// Chains that run at a time, unless told otherwise: most of a replay is waiting.
pub const CONCURRENCY: usize = 16;

/// How transcripts are replayed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Chains that run at a time.
    pub concurrency: usize,
    /// How each of them goes.
    pub settings: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            settings: Settings::default(),
        }
    }
}

/// Replays transcripts and tells what came of each, in the order they were given; `on_outcome` hears of each when it is
/// over.
pub async fn replay(
    transcripts: Vec<Transcript>,
    target: &Target,
    options: Options,
    on_outcome: &mut dyn FnMut(&Outcome),
) -> Vec<Outcome> {
    let stage = Arc::new(Stage {
        target: target.clone(),
        keys: KeyRing::parse(KEYS).expect("the fixtures are part of this crate"),
        permits: Semaphore::new(options.concurrency.max(1)),
        settings: options.settings,
    });
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut chains = JoinSet::new();
    for chain in chains_of(assign(transcripts, target)) {
        chains.spawn(run_chain(Arc::clone(&stage), chain, sender.clone()));
    }
    drop(sender);
    let mut outcomes = Vec::new();
    while let Some((position, outcome)) = receiver.recv().await {
        on_outcome(&outcome);
        outcomes.push((position, outcome));
    }
    while let Some(ended) = chains.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    outcomes.sort_by_key(|(position, _)| *position);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

struct Stage {
    target: Target,
    keys: KeyRing,
    permits: Semaphore,
    settings: Settings,
}

/// A transcript and the tenant it runs on, or why there is none.
struct Part {
    position: usize,
    transcript: Transcript,
    tenant: Result<Tenant, String>,
}

async fn run_chain(stage: Arc<Stage>, chain: Vec<Part>, outcomes: mpsc::UnboundedSender<(usize, Outcome)>) {
    let _permit = stage
        .permits
        .acquire()
        .await
        .expect("the semaphore is never closed");
    for Part {
        position,
        transcript,
        tenant,
    } in chain
    {
        let begun = Instant::now();
        let (verdict, rewritten) = match tenant {
            Ok(tenant) => run(&transcript, &tenant, &stage.target, &stage.keys, stage.settings).await,
            Err(reason) => (Verdict::LeftOut(reason), None),
        };
        let took = begun.elapsed();
        let outcome = Outcome {
            file: transcript.file,
            name: transcript.header.name,
            area: transcript.header.area,
            verdict,
            rewritten,
            took,
        };
        // Whoever listens waits for all chains.
        let _ = outcomes.send((position, outcome));
    }
}

/// Finds a tenant for each transcript. The first of a profile is for all that need none of their own.
fn assign(transcripts: Vec<Transcript>, target: &Target) -> Vec<Part> {
    let mut fresh: BTreeMap<&str, Vec<&Tenant>> = BTreeMap::new();
    for (profile, tenants) in &target.profiles {
        let is_shared = transcripts
            .iter()
            .any(|t| t.header.tenant == *profile && !t.header.fresh_tenant);
        fresh.insert(
            profile,
            tenants.iter().skip(usize::from(is_shared)).rev().collect(),
        );
    }
    let numbered = transcripts.into_iter().enumerate().map(|(position, transcript)| {
        let profile = transcript.header.tenant.as_str();
        let tenant = if transcript.header.fresh_tenant {
            fresh.get_mut(profile).and_then(Vec::pop)
        } else {
            target.profiles.get(profile).and_then(|tenants| tenants.first())
        };
        let tenant = match tenant {
            Some(tenant) => Ok(tenant.clone()),
            None if transcript.header.fresh_tenant => {
                Err(format!("no fresh tenant of profile {profile} is left"))
            }
            None => Err(format!("there is no tenant of profile {profile}")),
        };
        Part {
            position,
            transcript,
            tenant,
        }
    });
    numbered.collect()
}

/// Groups by lock; the chain that takes longest is the first.
fn chains_of(parts: Vec<Part>) -> Vec<Vec<Part>> {
    let mut chains: Vec<Vec<Part>> = Vec::new();
    let mut of_lock: BTreeMap<String, usize> = BTreeMap::new();
    for part in parts {
        let Some(lock) = part.transcript.header.lock.clone() else {
            chains.push(vec![part]);
            continue;
        };
        let at = *of_lock.entry(lock).or_insert(chains.len());
        match chains.get_mut(at) {
            Some(chain) => chain.push(part),
            None => chains.push(vec![part]),
        }
    }
    let takes_ms = |chain: &Vec<Part>| {
        chain
            .iter()
            .map(|part| part.transcript.header.takes_ms)
            .sum::<u64>()
    };
    chains.sort_by_key(|chain| std::cmp::Reverse(takes_ms(chain)));
    chains
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::Secret;
    use client::Endpoint;

    fn transcript(name: &str, more: &str) -> Transcript {
        let header = format!(
            r#"{{"transcript":1,"name":"{name}","area":"a","title":"t","shows":"s","reference":{{"server":"x",
            "version":"1","commit":"c"}},"vsn":[],"tenant":"limits",{more}}}"#
        );
        Transcript::parse(name, &format!("{}\n{{\"sleep\":0}}", header.replace('\n', " "))).unwrap()
    }

    fn target(tenants: &[&str]) -> Target {
        let tenants = tenants
            .iter()
            .map(|name| Tenant::new(name, Secret::new("s"), None))
            .collect();
        Target {
            endpoint: Endpoint::parse("ws://127.0.0.1:1").unwrap(),
            profiles: BTreeMap::from([("limits".to_owned(), tenants)]),
            admin_secret: None,
            keys: BTreeMap::new(),
        }
    }

    fn assigned(transcripts: Vec<Transcript>, tenants: &[&str]) -> Vec<String> {
        let parts = assign(transcripts, &target(tenants));
        parts
            .into_iter()
            .map(|part| part.tenant.map_or_else(|reason| reason, |tenant| tenant.name))
            .collect()
    }

    #[test]
    fn a_fresh_tenant_is_used_once() {
        let fresh = |name| transcript(name, r#""takes_ms":1,"fresh_tenant":true"#);
        let none_left = "no fresh tenant of profile limits is left";
        assert_eq!(
            assigned(vec![fresh("a"), fresh("b")], &["l1", "l2"]),
            ["l1", "l2"]
        );
        assert_eq!(assigned(vec![fresh("a"), fresh("b")], &["l1"]), ["l1", none_left]);
        let shared = transcript("c", r#""takes_ms":1"#);
        let mixed = vec![shared.clone(), fresh("a"), shared.clone(), fresh("b")];
        assert_eq!(assigned(mixed, &["l1", "l2"]), ["l1", "l2", "l1", none_left]);
        assert_eq!(
            assigned(vec![shared], &[]),
            ["there is no tenant of profile limits"]
        );
    }

    #[test]
    fn a_lock_makes_a_chain_and_the_longest_starts_first() {
        let all = vec![
            transcript("short", r#""takes_ms":1"#),
            transcript("p1", r#""takes_ms":2,"lock":"p""#),
            transcript("long", r#""takes_ms":4"#),
            transcript("p2", r#""takes_ms":3,"lock":"p""#),
            transcript("q", r#""takes_ms":2,"lock":"q""#),
        ];
        let names = |chain: &Vec<Part>| {
            chain
                .iter()
                .map(|part| part.transcript.header.name.clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let chains = chains_of(assign(all, &target(&["l"])));
        assert_eq!(
            chains.iter().map(names).collect::<Vec<_>>(),
            ["p1 p2", "long", "q", "short"]
        );
    }
}
