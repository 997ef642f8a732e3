//! `GET /metrics`: figures of the server and of every tenant, as Prometheus reads them.
//!
//! Nothing is done for them but counting while nobody asks. Whoever asks reads atomics, and takes the locks of a tenant's
//! topics one after the other. Source: http-api.md, section 6.

use std::fmt::Write as _;
use std::fs;

use auth::{ClaimValidators, Keys, VerifyError};
use hyper::header::{self, HeaderMap};
use phoenix_wire::refusal::HttpRefusal;

use super::Request;
use super::reply::{self, Response};
use crate::feed::Figures;
use crate::tenant::{TenantRuntime, Tenants};
use crate::worker::Worker;

/// Who may read them.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    /// What their tokens are signed with; without it there are none.
    pub(crate) keys: Option<Keys>,
    /// What claims of their tokens have to be.
    pub(crate) validators: ClaimValidators,
}

impl Readers {
    /// Lets a request pass with a bearer token that is signed. No claim is required of it. Source: http-api.md, section
    /// 2.3.
    fn admit(&self, headers: &HeaderMap, unix_seconds: i64) -> Result<(), HttpRefusal> {
        let keys = self.keys.as_ref().ok_or(HttpRefusal::MetricsOff)?;
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        match auth::verify(
            token.ok_or(HttpRefusal::AdminForbidden)?,
            keys,
            &self.validators,
            unix_seconds,
        ) {
            // Found missing only in a token that holds otherwise.
            Ok(_) | Err(VerifyError::MissingClaims) => Ok(()),
            Err(_) => Err(HttpRefusal::AdminForbidden),
        }
    }
}

/// Answers a request for the figures.
pub(super) fn answer(worker: &Worker, request: &Request) -> Response {
    let shared = worker.shared();
    let now = shared.clock.now().unix_seconds();
    match shared.metrics.admit(request.headers(), now) {
        Ok(()) => reply::metrics(page(&shared.tenants)),
        Err(refusal) => reply::refuse(&refusal),
    }
}

fn page(tenants: &Tenants) -> String {
    let mut tenants: Vec<&TenantRuntime> = tenants.all().map(AsRef::as_ref).collect();
    tenants.sort_unstable_by_key(|tenant| tenant.name());
    let mut page = Page::default();
    for family in OF_TENANTS {
        page.head(family);
        for tenant in &tenants {
            for (label, read) in family.series {
                page.sample(family.name, Some(tenant.name()), label, read(tenant));
            }
        }
    }
    let feeds = || {
        let feeds = tenants.iter();
        feeds.filter_map(|tenant| Some((tenant.name(), tenant.changes()?.figures())))
    };
    for family in OF_FEEDS {
        page.head(family);
        for (tenant, figures) in feeds() {
            for (label, read) in family.series {
                page.sample(family.name, Some(tenant), label, read(figures));
            }
        }
    }
    for family in OF_THE_PROCESS {
        page.head(family);
        for (label, read) in family.series {
            if let Some(value) = read(&()) {
                page.sample(family.name, None, label, value);
            }
        }
    }
    page.text
}

/// Series of one name, which are told apart by their labels.
struct Family<T: 'static, V: 'static = f64> {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// A label besides the tenant, which may be none, and where the value is.
    series: &'static [Reading<T, V>],
}

type Reading<T, V> = (&'static str, fn(&T) -> V);

/// What grows while the server runs.
const COUNTER: &str = "counter";
/// What goes up and down.
const GAUGE: &str = "gauge";

const OF_TENANTS: &[Family<TenantRuntime>] = &[
    Family {
        name: "roost_sockets",
        kind: GAUGE,
        help: "Sockets that are open.",
        series: &[("", |tenant| f64::from(tenant.sockets()))],
    },
    Family {
        name: "roost_sockets_joined",
        kind: GAUGE,
        help: "Open sockets that have joined a channel.",
        series: &[("", |tenant| f64::from(tenant.session().users()))],
    },
    Family {
        name: "roost_channels",
        kind: GAUGE,
        help: "Channels that are joined.",
        series: &[("", |tenant| float(tenant.hub().listeners()))],
    },
    Family {
        name: "roost_joins_total",
        kind: COUNTER,
        help: "Joins asked for, but those refused because there were too many.",
        series: &[("", |tenant| float(tenant.session().joins.total()))],
    },
    Family {
        name: "roost_broadcast_events_total",
        kind: COUNTER,
        help: "Broadcasts sent, and broadcasts delivered, each receiver counted.",
        series: &[("", |tenant| float(tenant.broadcasts_total()))],
    },
    Family {
        name: "roost_presence_events_total",
        kind: COUNTER,
        help: "Presence tracked, and presence told, each receiver counted.",
        series: &[("", |tenant| float(tenant.presence_total()))],
    },
    Family {
        name: "roost_http_requests_total",
        kind: COUNTER,
        help: "Requests to the HTTP API.",
        series: &[("", |tenant| float(tenant.requests().total()))],
    },
];

const OF_FEEDS: &[Family<Figures>] = &[
    Family {
        name: "roost_feed_streaming",
        kind: GAUGE,
        help: "Whether the database streams its changes.",
        series: &[("", |feed| f64::from(u8::from(feed.is_streaming.get())))],
    },
    Family {
        name: "roost_feed_subscriptions",
        kind: GAUGE,
        help: "Channels that are subscribed to changes.",
        series: &[("", |feed| float(feed.subscriptions.get()))],
    },
    Family {
        name: "roost_feed_lag_bytes",
        kind: GAUGE,
        help: "Log of the database that is not acknowledged, as far as the database has told where it ends.",
        series: &[("", |feed| float(feed.bytes_behind.get()))],
    },
    Family {
        name: "roost_feed_delay_seconds",
        kind: GAUGE,
        help: "From the commit of the last transaction to its dispatch, by the clocks of both machines.",
        series: &[("", |feed| float(feed.delay_micros.get()) / MICROS_PER_SECOND)],
    },
    Family {
        name: "roost_feed_transactions_total",
        kind: COUNTER,
        help: "Transactions that have been dispatched.",
        series: &[("", |feed| float(feed.transactions.get()))],
    },
    Family {
        name: "roost_feed_changes_total",
        kind: COUNTER,
        help: "Changes of rows that have been read.",
        series: &[("", |feed| float(feed.changes.get()))],
    },
    Family {
        name: "roost_feed_deliveries_total",
        kind: COUNTER,
        help: "Changes dispatched to channels, each receiver counted.",
        series: &[("", |feed| float(feed.deliveries.get()))],
    },
    Family {
        name: "roost_feed_policy_checks_total",
        kind: COUNTER,
        help: "Answers of policies to whether a row may be seen, by who gave them.",
        series: &[
            (r#"by="gateway""#, |feed| float(feed.checks_in_memory.get())),
            (r#"by="database""#, |feed| float(feed.checks_asked.get())),
        ],
    },
    Family {
        name: "roost_feed_rounds_total",
        kind: COUNTER,
        help: "Questions about policies that the database has answered, each about many rows.",
        series: &[("", |feed| float(feed.rounds.get()))],
    },
    Family {
        name: "roost_feed_gaps_total",
        kind: COUNTER,
        help: "Times that changes may have been lost.",
        series: &[("", |feed| float(feed.gaps.get()))],
    },
    Family {
        name: "roost_feed_oversized_changes_total",
        kind: COUNTER,
        help: "Changes that were too large to be delivered.",
        series: &[("", |feed| float(feed.oversized.get()))],
    },
];

/// Absent where the system does not tell.
const OF_THE_PROCESS: &[Family<(), Option<f64>>] = &[
    Family {
        name: "roost_process_resident_memory_bytes",
        kind: GAUGE,
        help: "Memory of the process.",
        series: &[("", |()| {
            resident_bytes(&fs::read_to_string("/proc/self/status").ok()?).map(float)
        })],
    },
    Family {
        name: "roost_process_cpu_seconds_total",
        kind: COUNTER,
        help: "Processor time of the process.",
        series: &[("", |()| cpu_seconds(&fs::read_to_string("/proc/self/stat").ok()?))],
    },
];

/// The format has floating point numbers alone; it is exact up to nine quadrillions.
fn float(value: u64) -> f64 {
    value as f64
}

/// `VmRSS` of `/proc/self/status`, which is in units of 1024 bytes.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Fields 14 and 15 of `/proc/self/stat`: time in user and in kernel mode. The second field is a name in parentheses, in
/// which anything may stand.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    Some(float(ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// Text in the exposition format 0.0.4.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn head<T, V>(&mut self, family: &Family<T, V>) {
        let Family { name, kind, help, .. } = family;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, tenant: Option<&str>, label: &str, value: f64) {
        self.text.push_str(name);
        if let Some(tenant) = tenant {
            self.text.push_str(r#"{tenant=""#);
            self.escape(tenant);
            self.text.push('"');
            if !label.is_empty() {
                self.text.push(',');
                self.text.push_str(label);
            }
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn escape(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str(r"\\"),
                '"' => self.text.push_str(r#"\""#),
                '\n' => self.text.push_str(r"\n"),
                other => self.text.push(other),
            }
        }
    }
}

const MICROS_PER_SECOND: f64 = 1_000_000.0;
/// `USER_HZ`, the same on every machine we run on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use auth::Secret;
    use hyper::header::HeaderValue;

    use super::*;

    const NOW: i64 = 1_000;

    fn readers() -> Readers {
        Readers {
            keys: Some(Keys::new(Some(&Secret::new("of metrics")), None).unwrap()),
            validators: ClaimValidators::default(),
        }
    }

    fn admitted(readers: &Readers, authorization: Option<&str>) -> Result<(), HttpRefusal> {
        let value = authorization.map(|value| HeaderValue::from_str(value).unwrap());
        let headers = value.into_iter().map(|value| (header::AUTHORIZATION, value));
        readers.admit(&headers.collect(), NOW)
    }

    fn bearer(claims: &[(&str, i64)], secret: &str) -> String {
        let claims = claims
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()));
        format!("Bearer {}", auth::sign(&claims.collect(), &Secret::new(secret)))
    }

    #[test]
    fn a_token_needs_no_claims_but_must_not_have_expired() {
        for claims in [&[][..], &[("exp", NOW + 1)], &[("iat", NOW)]] {
            let token = bearer(claims, "of metrics");
            assert_eq!(admitted(&readers(), Some(&token)), Ok(()), "{claims:?}");
        }
        let refused = Err(HttpRefusal::AdminForbidden);
        for token in [
            bearer(&[("exp", NOW)], "of metrics"),
            bearer(&[], "of somebody else"),
            bearer(&[], "of metrics").replacen("Bearer", "bearer", 1),
            "Bearer".to_owned(),
            "Bearer x".to_owned(),
        ] {
            assert_eq!(admitted(&readers(), Some(&token)), refused, "{token}");
        }
        assert_eq!(admitted(&readers(), None), refused);
    }

    #[test]
    fn without_a_secret_no_token_is_good() {
        let readers = Readers {
            keys: None,
            ..readers()
        };
        let token = bearer(&[], "of metrics");
        assert_eq!(admitted(&readers, Some(&token)), Err(HttpRefusal::MetricsOff));
    }

    #[test]
    fn names_of_tenants_cannot_break_a_line() {
        let mut page = Page::default();
        page.sample("roost_sockets", Some("a\"b\\c\nd"), "", 2.0);
        page.sample("roost_sockets", None, "", 0.25);
        page.sample("roost_sockets", Some("a"), r#"by="b""#, 1e15);
        assert_eq!(
            page.text,
            "roost_sockets{tenant=\"a\\\"b\\\\c\\nd\"} 2\nroost_sockets 0.25\n\
             roost_sockets{tenant=\"a\",by=\"b\"} 1000000000000000\n"
        );
    }

    fn check<T, V>(families: &[Family<T, V>], names: &mut BTreeSet<&str>) {
        for family in families {
            let name = family.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("roost_"), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == COUNTER, "{name}");
            assert!(
                family.help.ends_with('.') && !family.help.contains('\n'),
                "{name}"
            );
            let labels: BTreeSet<_> = family.series.iter().map(|(label, _)| label).collect();
            assert_eq!(
                labels.len(),
                family.series.len(),
                "{name} has series that look alike"
            );
        }
    }

    #[test]
    fn series_have_names_as_prometheus_wants_them() {
        let mut names = BTreeSet::new();
        check(OF_TENANTS, &mut names);
        check(OF_FEEDS, &mut names);
        check(OF_THE_PROCESS, &mut names);
    }

    #[test]
    fn the_process_is_read_from_what_the_kernel_writes() {
        assert_eq!(
            resident_bytes("VmHWM:\t  300 kB\nVmRSS:\t     200 kB\n"),
            Some(204_800)
        );
        assert_eq!(resident_bytes("Name:\troost\n"), None);
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7 (a) S 1 2"), None);
    }
}
