//! Where a database is and how to log in: a connection string, understood.
//!
//! Both notations of libpq are read, `postgres://…` and `key=value …`. The options `sslmode` and `sslrootcert` are
//! interpreted here, for the driver knows neither `verify-ca` nor `verify-full`; the rest is left to the driver. An
//! option we would not honour is refused, not ignored. Nothing is read from the environment.
//!
//! The string is not kept, and no message quotes a piece of it: any piece might be the password.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{ChannelBinding, Host};

use crate::tls::{SslMode, Tls};

/// A parsed connection string. Cheap to clone. `Debug` and `Display` show hosts and database only.
#[derive(Clone)]
pub struct Dsn {
    config: tokio_postgres::Config,
    endpoints: Vec<Endpoint>,
    tls: Tls,
}

/// One place where the server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A name to resolve, or a literal address; with `hostaddr`, the name is for the certificate only.
    Tcp { host: String, hostaddr: Option<IpAddr> },
    /// A directory with the server's socket.
    Unix(PathBuf),
}

/// Why a connection string is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    /// Neither notation, or a value that is not of its kind.
    #[error("a connection string is either postgres://user:password@host:port/database or key=value pairs")]
    Malformed,
    /// An option that is not supported.
    #[error(
        "option number {position} of the connection string is not supported; supported are {SUPPORTED:?}"
    )]
    UnsupportedOption {
        /// Which one, counted from 1, of the query of a URL or of all pairs.
        position: usize,
    },
    /// No user.
    #[error("the connection string names no user")]
    NoUser,
    /// No host.
    #[error("the connection string names no host")]
    NoHost,
    /// As many ports or addresses as hosts, or one port: any other number.
    #[error("the connection string has another number of ports or addresses than of hosts")]
    UnevenHosts,
    /// An `sslmode` that does not exist.
    #[error("sslmode is one of disable, allow, prefer, require, verify-ca, verify-full")]
    SslMode,
}

/// The options that are understood.
const SUPPORTED: [&str; 12] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "connect_timeout",
    "channel_binding",
    "sslmode",
    "sslrootcert",
];

/// Time for connecting to one address including TLS, and again for logging in, where the string has no
/// `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What `pg_stat_activity` shows, where the string has no `application_name`.
const APPLICATION_NAME: &str = "roost";

impl Dsn {
    /// The settings a driver logs in with over an open [`Socket`](crate::Socket).
    pub fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    /// Time for each of the two steps of connecting: the socket with TLS, and the login.
    pub fn connect_timeout(&self) -> Duration {
        self.config
            .get_connect_timeout()
            .copied()
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(CONNECT_TIMEOUT)
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(crate) fn channel_binding_required(&self) -> bool {
        self.config.get_channel_binding() == ChannelBinding::Require
    }
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Dsn, DsnError> {
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        let (rest, ours) = if is_url {
            split_url(text)?
        } else {
            split_pairs(text)?
        };
        let mut config: tokio_postgres::Config = rest.parse().map_err(|_| DsnError::Malformed)?;
        if config.get_user().is_none_or(str::is_empty) {
            return Err(DsnError::NoUser);
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            let user = config.get_user().unwrap_or_default().to_owned();
            config.dbname(user);
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        let endpoints = endpoints(&config)?;
        let tls = Tls::new(ours.mode()?, ours.root_certificates());
        Ok(Dsn {
            config,
            endpoints,
            tls,
        })
    }
}

impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{endpoint}")?;
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dsn({self})")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, .. } if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Address::Tcp { host, .. } => write!(f, "{host}:{}", self.port),
            Address::Unix(directory) => write!(f, "{}:{}", directory.display(), self.port),
        }
    }
}

/// The options that are not for the driver.
#[derive(Default)]
struct Ours {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Ours {
    /// Takes an option if it is one of ours.
    fn take(&mut self, key: &str, value: &str) -> bool {
        let slot = match key {
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            _ => return false,
        };
        *slot = Some(value.to_owned());
        true
    }

    fn mode(&self) -> Result<SslMode, DsnError> {
        let mode = match self.sslmode.as_deref() {
            // Of two modes that both do with or without TLS, the better one.
            Some("allow" | "prefer") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            Some(_) => return Err(DsnError::SslMode),
            None if self.sslrootcert.as_deref() == Some("system") => SslMode::VerifyFull,
            None => SslMode::Prefer,
        };
        // As libpq does: whoever names root certificates means them to be used.
        Ok(match (mode, &self.sslrootcert) {
            (SslMode::Require, Some(_)) => SslMode::VerifyCa,
            _ => mode,
        })
    }

    /// The file, or `None` for the certificates of the operating system.
    fn root_certificates(&self) -> Option<PathBuf> {
        let path = self.sslrootcert.as_deref()?;
        (path != "system" && !path.is_empty()).then(|| path.into())
    }
}

/// A URL without our options, and our options.
fn split_url(text: &str) -> Result<(String, Ours), DsnError> {
    // The driver takes everything up to the first `@` for the credentials; they may contain a question mark.
    let authority = text.find('@').unwrap_or(0);
    let Some(question) = text.get(authority..).and_then(|rest| rest.find('?')) else {
        return Ok((text.to_owned(), Ours::default()));
    };
    let (base, query) = text.split_at(authority + question);
    let (mut kept, mut ours) = (Vec::new(), Ours::default());
    let options = query
        .trim_start_matches('?')
        .split('&')
        .filter(|option| !option.is_empty());
    for (index, option) in options.enumerate() {
        let (key, value) = option.split_once('=').ok_or(DsnError::Malformed)?;
        let decode = |text| {
            percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| DsnError::Malformed)
        };
        let (key, value) = (decode(key)?, decode(value)?);
        check_supported(&key, index)?;
        if !ours.take(&key, &value) {
            kept.push(option);
        }
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{base}{separator}{}", kept.join("&")), ours))
}

/// Pairs without our options, and our options.
fn split_pairs(text: &str) -> Result<(String, Ours), DsnError> {
    let (mut kept, mut ours) = (String::new(), Ours::default());
    let mut rest = text.trim_start();
    let mut index = 0;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(DsnError::Malformed)?;
        let (value, after) = read_value(after.trim_start())?;
        let key = key.trim_end();
        check_supported(key, index)?;
        if !ours.take(key, &value) {
            let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
            kept.push_str(&format!("{key}='{escaped}' "));
        }
        rest = after.trim_start();
        index += 1;
    }
    Ok((kept, ours))
}

/// The value at the start of `text`, quoted or not, and what follows it.
fn read_value(text: &str) -> Result<(String, &str), DsnError> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.push(chars.next().ok_or(DsnError::Malformed)?.1),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            _ if !quoted && char.is_whitespace() => return Ok((value, text.get(at..).unwrap_or_default())),
            _ => value.push(char),
        }
    }
    if quoted {
        Err(DsnError::Malformed)
    } else {
        Ok((value, ""))
    }
}

fn check_supported(key: &str, index: usize) -> Result<(), DsnError> {
    if SUPPORTED.contains(&key) {
        Ok(())
    } else {
        Err(DsnError::UnsupportedOption { position: index + 1 })
    }
}

fn endpoints(config: &tokio_postgres::Config) -> Result<Vec<Endpoint>, DsnError> {
    let (hosts, hostaddrs, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(hostaddrs.len());
    if count == 0 {
        return Err(DsnError::NoHost);
    }
    let even = |len| len == 0 || len == count;
    if !even(hosts.len()) || !even(hostaddrs.len()) || !(even(ports.len()) || ports.len() == 1) {
        return Err(DsnError::UnevenHosts);
    }
    let endpoint = |index: usize| {
        let hostaddr = hostaddrs.get(index).copied();
        let address = match (hosts.get(index), hostaddr) {
            (Some(Host::Unix(directory)), _) => Address::Unix(directory.clone()),
            (Some(Host::Tcp(host)), _) => Address::Tcp {
                host: host.clone(),
                hostaddr,
            },
            (None, Some(addr)) => Address::Tcp {
                host: addr.to_string(),
                hostaddr,
            },
            (None, None) => return None,
        };
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        Some(Endpoint { address, port })
    };
    Ok((0..count).filter_map(endpoint).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Dsn {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn both_notations_mean_the_same() {
        for text in [
            "postgresql://anna:geheim@db.example:6543/app?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Fca.pem",
            "host=db.example  port = 6543 user=anna password='geheim' dbname=app sslmode=verify-full \
             sslrootcert=/etc/ca.pem connect_timeout=3",
        ] {
            let dsn = parse(text);
            assert_eq!(dsn.to_string(), "db.example:6543/app");
            assert_eq!(dsn.user(), "anna");
            assert_eq!(dsn.config().get_password(), Some(&b"geheim"[..]));
            assert_eq!(dsn.connect_timeout(), Duration::from_secs(3));
            assert_eq!(dsn.tls().mode(), SslMode::VerifyFull);
            assert_eq!(dsn.tls().root_certificates(), Some("/etc/ca.pem".as_ref()));
        }
    }

    #[test]
    fn quoting_of_pairs_is_undone_and_redone() {
        let dsn = parse(r"host=h user=u password='it\'s \\ a = \'' sslmode='disable'dbname=d\ e");
        assert_eq!(dsn.config().get_password(), Some(&br"it's \ a = '"[..]));
        assert_eq!(dsn.config().get_dbname(), Some("d e"));
        assert_eq!(dsn.tls().mode(), SslMode::Disable);
    }

    #[test]
    fn a_question_mark_may_stand_in_the_password() {
        let dsn = parse("postgres://u:a?b@h/d?sslmode=require");
        assert_eq!(dsn.config().get_password(), Some(&b"a?b"[..]));
        assert_eq!(dsn.tls().mode(), SslMode::Require);
    }

    #[test]
    fn several_hosts_sockets_and_addresses_are_endpoints_in_order() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).to_string(), expected);
        check("postgres://u@a:1,b:2,c:3/d", "a:1,b:2,c:3/d");
        check(
            "host=a,/run/pg,::1 port=7 user=u dbname=d",
            "a:7,/run/pg:7,[::1]:7/d",
        );
        check("postgres://u@%2Frun%2Fpg/d", "/run/pg:5432/d");
        check("hostaddr=127.0.0.1 user=u", "127.0.0.1:5432/u");
    }

    #[test]
    fn defaults_are_prefer_and_the_name_of_the_user() {
        let dsn = parse("postgres://u@h");
        assert_eq!(dsn.tls().mode(), SslMode::Prefer);
        assert_eq!(dsn.config().get_dbname(), Some("u"));
        assert_eq!(dsn.config().get_application_name(), Some("roost"));
        assert_eq!(dsn.connect_timeout(), CONNECT_TIMEOUT);
    }

    #[test]
    fn naming_root_certificates_turns_checking_on() {
        let check = |options: &str, mode: SslMode| {
            assert_eq!(parse(&format!("postgres://u@h/d?{options}")).tls().mode(), mode);
        };
        check("sslmode=require&sslrootcert=ca.pem", SslMode::VerifyCa);
        check("sslrootcert=system", SslMode::VerifyFull);
        check("sslmode=allow", SslMode::Prefer);
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        let check =
            |text: &str, error: DsnError| assert_eq!(text.parse::<Dsn>().unwrap_err(), error, "{text}");
        check(
            "postgres://u@h/d?sslmode=disable&target_session_attrs=read-write",
            DsnError::UnsupportedOption { position: 2 },
        );
        check(
            "host=h pgbouncer=true",
            DsnError::UnsupportedOption { position: 2 },
        );
        check("postgres://u@h/d?sslmode=sometimes", DsnError::SslMode);
        check("postgres://h/d", DsnError::NoUser);
        check("user=u", DsnError::NoHost);
        check("host=a,b,c port=1,2 user=u", DsnError::UnevenHosts);
        check("host=a user=u password='open", DsnError::Malformed);
        check("mysql://u@h/d", DsnError::Malformed);
        check("postgres://u@h:notaport/d", DsnError::Malformed);
        check("", DsnError::NoUser);
    }

    #[test]
    fn nothing_shows_the_password() {
        for text in [
            "postgres://u:geheim@h/d",
            "host=h user=u password=geheim options=geheim",
            "postgres://u@h/d?geheim=1",
            "host=h user=u geheim",
            "postgres://u:geheim@h:geheim/d?sslmode=geheim",
        ] {
            let shown = match text.parse::<Dsn>() {
                Ok(dsn) => format!("{dsn:?} {dsn}"),
                Err(error) => format!("{error:?} {error}"),
            };
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }
}
