//! What the catalog says about who sees the rows of a table. Plain data, read elsewhere.

use std::sync::Arc;

/// The row level security of one table for one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSecurity {
    /// `pg_roles.rolname`.
    pub role: Box<str>,
    /// `pg_class.oid`, of a table with row level security.
    pub table: u32,
    /// A statement of the role gets as far as the policies: the role can be assumed, and may use the table's schema.
    pub reachable: bool,
    /// The policies are not applied to the role: it is a superuser, has BYPASSRLS, or owns the table and that is not
    /// FORCE ROW LEVEL SECURITY.
    pub bypassed: bool,
    /// The policies for SELECT that are applied to the role.
    pub policies: Vec<Policy>,
    /// The columns with a collation other than the database's.
    pub collations: Vec<ColumnCollation>,
    /// What else is used.
    pub surroundings: Arc<Surroundings>,
}

/// A policy for SELECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `pg_policy.polname`.
    pub name: Box<str>,
    /// `pg_policy.polpermissive`: one of these has to let the row through; each of the others has to.
    pub permissive: bool,
    /// Its USING expression as `pg_get_expr` prints it with an empty search path: whatever is not in `pg_catalog` has its
    /// schema in front of it. `None` without one, which lets nothing through that is permissive, and all that is not.
    pub expression: Option<Box<str>>,
    /// It uses an operator or a function that did not come with the database, other than [`ClaimFunction`]s. Not all of
    /// these are seen in the expression: `IS DISTINCT FROM` and casts do not tell.
    pub is_foreign: bool,
}

/// The collation of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnCollation {
    /// The column's name.
    pub column: Box<str>,
    /// `pg_collation.oid`.
    pub oid: u32,
    /// Texts are equal only if their bytes are.
    pub is_deterministic: bool,
}

/// What expressions mean in a database, for one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Names mean what they mean in every database: the encoding is UTF-8; names are looked up in `pg_catalog` first and
    /// nobody has added a `current_setting`, a `->` or `->>` of `json` or a cast from text to a type of `pg_catalog`; none
    /// of `request.jwt.claim`, `request.jwt.claim.sub` and `request.jwt.claim.role` is set.
    pub is_ordinary: bool,
    /// Those of [`ClaimFunction`] there are.
    pub functions: Vec<ClaimFunction>,
}

/// `auth.uid()`, `auth.role()` or `auth.jwt()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimFunction {
    /// `uid`, `role` or `jwt`.
    pub name: Box<str>,
    /// The role may execute it, and use its schema.
    pub is_callable: bool,
    /// `pg_language.lanname`.
    pub language: Box<str>,
    /// `pg_proc.prosrc`.
    pub source: Box<str>,
    /// `pg_proc.prokind`.
    pub kind: char,
    /// `pg_proc.provolatile`.
    pub volatility: char,
    /// `pg_proc.prosecdef`.
    pub is_security_definer: bool,
    /// `pg_proc.proretset`.
    pub returns_set: bool,
    /// `pg_proc.prorettype`.
    pub returns: u32,
    /// `pg_proc.proconfig`.
    pub settings: Vec<Box<str>>,
}
