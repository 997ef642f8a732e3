//! On whose behalf a transaction looks at rows: role and claims, set until its end.

use replication::ServerError;

use crate::error::Error;
use crate::quote;

/// Selects the snapshot of the transaction and the user we have logged in as. Before anything is set.
pub(crate) const OPENING: &str = "select pg_catalog.pg_current_snapshot(), session_user";

/// Has the rest of the transaction run as a role.
pub(crate) fn set_role(role: &str) -> String {
    format!("set local role {}", quote::literal(role))
}

/// Sets what policies read claims from.
pub(crate) fn set_claims(claims: &str) -> String {
    format!("set local request.jwt.claims = {}", quote::literal(claims))
}

/// Why a viewer is refused without asking.
pub(crate) fn check(role: &str, claims: &str) -> Result<(), Error> {
    check_text(role)?;
    check_text(claims)?;
    // No role can have this name; to set it is to be nobody but the user we have logged in as.
    if role == "none" {
        Err(missing(role))
    } else {
        Ok(())
    }
}

/// What a server would say to a NUL.
pub(crate) fn check_text(text: &str) -> Result<(), Error> {
    if !quote::has_nul(text) {
        return Ok(());
    }
    Err(Error::Statement(ServerError {
        sqlstate: "22021".into(),
        message: r#"invalid byte sequence for encoding "UTF8": 0x00"#.into(),
    }))
}

/// What it means that [`set_role`] failed.
pub(crate) fn refused(failure: ServerError, role: &str, user: &str) -> Error {
    match &*failure.sqlstate {
        "42501" => Error::RoleNotGranted {
            role: role.to_owned(),
            user: user.to_owned(),
        },
        "22023" => missing(role),
        _ => Error::Statement(failure),
    }
}

pub(crate) fn missing(role: &str) -> Error {
    let role = role.to_owned();
    Error::RoleMissing { role }
}
