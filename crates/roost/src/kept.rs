//! What `roost dev` keeps from one start to the next, a file for each, which only the owner may read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use auth::{ClaimValidators, Keys, Secret};
use serde_json::Map;

use crate::token;

/// Secrets, made up at the first start.
pub(crate) struct Kept {
    /// Signs tokens.
    pub(crate) secret: Secret,
    /// The superuser's, in the database.
    pub(crate) password: String,
    /// A token of role `anon`.
    pub(crate) anon_key: String,
    /// A token of role `service_role`.
    pub(crate) service_key: String,
}

impl Kept {
    /// Reads what is in the data directory and makes what is not. A key that the secret did not sign, or that has
    /// expired, is made anew.
    ///
    /// # Errors
    ///
    /// What cannot be read or written.
    pub(crate) fn open(data_dir: &Path) -> Result<Kept, String> {
        let secret = Secret::new(keep(data_dir, SECRET_FILE, |_| true, random)?);
        let keys = Keys::new(Some(&secret), None).map_err(|error| format!("{SECRET_FILE}: {error}"))?;
        let is_valid =
            |key: &str| auth::verify(key, &keys, &ClaimValidators::default(), token::now()).is_ok();
        let key = |name, role| {
            keep(data_dir, name, is_valid, || {
                token::sign(role, KEY_LIFETIME, Map::new(), &secret)
            })
        };
        Ok(Kept {
            password: keep(data_dir, "postgres_password", |_| true, random)?,
            anon_key: key("anon_key", "anon")?,
            service_key: key("service_role_key", "service_role")?,
            secret,
        })
    }

    /// The secret an earlier start left in the data directory.
    pub(crate) fn secret_in(data_dir: &Path) -> Option<Secret> {
        let text = fs::read_to_string(data_dir.join(SECRET_FILE)).ok()?;
        Some(Secret::new(text.trim_end()))
    }
}

/// The text in that file if it is good, else a new one, which is in it from then on.
fn keep(
    data_dir: &Path,
    name: &str,
    is_good: impl FnOnce(&str) -> bool,
    make: impl FnOnce() -> String,
) -> Result<String, String> {
    let path = data_dir.join(name);
    let blame = |error: io::Error| format!("{}: {error}", path.display());
    match fs::read_to_string(&path) {
        Ok(text) if is_good(text.trim_end()) => return Ok(text.trim_end().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(blame(error)),
    }
    let text = make();
    write_whole(&path, &text).map_err(blame)?;
    Ok(text)
}

/// Writes a file that is either there with all that belongs in it, or not.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(new, path)
}

fn random() -> String {
    let [half, other_half] = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    format!("{}{}", half.simple(), other_half.simple())
}

const SECRET_FILE: &str = "jwt_secret";
/// How long the keys are valid: as good as for ever, as those of a Supabase project.
const KEY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of one test, removed at its end.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("roost-kept-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    fn role(key: &str, secret: &Secret) -> String {
        let keys = Keys::new(Some(secret), None).unwrap();
        let claims = auth::verify(key, &keys, &ClaimValidators::default(), token::now()).unwrap();
        claims.role().unwrap().to_owned()
    }

    #[test]
    fn what_is_in_the_files_is_used_as_it_is() {
        let scratch = Scratch::new("used");
        let secret = Secret::new("a secret of somebody's own");
        let key = token::sign("anon", Duration::from_secs(1_000), Map::new(), &secret);
        scratch.write("jwt_secret", &format!("{}\n", secret.reveal()));
        scratch.write("anon_key", &key);
        let kept = Kept::open(&scratch.0).unwrap();
        assert_eq!((&kept.secret, &kept.anon_key), (&secret, &key));
        assert_eq!(role(&kept.service_key, &secret), "service_role");
        let again = Kept::open(&scratch.0).unwrap();
        assert_eq!(
            (again.service_key, again.password),
            (kept.service_key, kept.password)
        );
    }

    #[test]
    fn keys_that_do_not_fit_the_secret_or_have_expired_are_made_anew() {
        let scratch = Scratch::new("anew");
        let first = Kept::open(&scratch.0).unwrap();
        let expired = token::sign("service_role", Duration::ZERO, Map::new(), &first.secret);
        scratch.write("service_role_key", &expired);
        let second = Kept::open(&scratch.0).unwrap();
        assert_eq!(second.anon_key, first.anon_key);
        assert_eq!(role(&second.service_key, &first.secret), "service_role");

        scratch.write("jwt_secret", "another");
        let third = Kept::open(&scratch.0).unwrap();
        assert_eq!(role(&third.anon_key, &Secret::new("another")), "anon");
    }

    #[test]
    fn an_empty_secret_is_blamed() {
        let scratch = Scratch::new("empty");
        scratch.write("jwt_secret", "\n");
        let error = Kept::open(&scratch.0).map(|_| ()).unwrap_err();
        assert_eq!(error, "jwt_secret: the JWT secret is empty");
    }
}
