//! `roost explain-change`: why a subscriber hears of the changes of a table, or why not.
//!
//! The exit code is an answer: 0 if the changes would be delivered, 1 if not, 2 if nobody can tell.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use gateway::explain::{ExplainError, Finding, Level, Report, Wanted, explain};
use serde_json::{Map, Value, json};

use crate::changes_args::PUBLICATION;
use crate::environment::Environment;

/// What is asked.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Connection string of the database. Without it, DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "DSN")]
    database_url: Option<String>,
    /// Publication that the gateway follows.
    #[arg(long, env = "ROOST_PUBLICATION", default_value = PUBLICATION, value_name = "NAME")]
    publication: String,
    /// The table, in schema `public` unless it is named. Letters of either case differ; a name with a dot in it is put in
    /// double quotes.
    #[arg(long, env = "ROOST_EXPLAIN_TABLE", value_parser = parse_table, value_name = "[SCHEMA.]NAME")]
    table: TableName,
    /// Role of the subscriber: claim `role` of its token.
    #[arg(long, env = "ROOST_EXPLAIN_ROLE", value_name = "ROLE")]
    role: String,
    /// The other claims of its token, as policies see them.
    #[arg(long, env = "ROOST_EXPLAIN_CLAIMS", default_value = "{}", value_parser = parse_claims, value_name = "JSON")]
    claims: Map<String, Value>,
    /// Claim `sub`: who the subscriber is.
    #[arg(long, env = "ROOST_EXPLAIN_SUB", value_name = "ID")]
    sub: Option<String>,
    /// Event of the binding: INSERT, UPDATE, DELETE, or * for all of them.
    #[arg(long, env = "ROOST_EXPLAIN_EVENT", default_value = "*", value_parser = parse_event, value_name = "EVENT")]
    event: String,
    /// Filter of the binding, as in `id=eq.7`; none unless given.
    #[arg(long, env = "ROOST_EXPLAIN_FILTER", value_name = "FILTER")]
    filter: Option<String>,
    /// Columns that the binding selects, separated by commas; all unless given.
    #[arg(
        long,
        env = "ROOST_EXPLAIN_SELECT",
        value_delimiter = ',',
        value_name = "COLUMNS"
    )]
    select: Vec<String>,
    /// A column and its value in the row to look at, as in `id=7`; once for each column of the primary key. Without it, the
    /// first row by primary key.
    #[arg(long, env = "ROOST_EXPLAIN_KEY", value_parser = parse_key, value_name = "COLUMN=VALUE")]
    key: Vec<(String, String)>,
    /// Print one JSON object, for tools.
    #[arg(long, env = "ROOST_EXPLAIN_JSON")]
    json: bool,
}

/// Schema and name of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TableName {
    schema: String,
    name: String,
}

pub(crate) fn run(args: &ExplainArgs, environment: &Environment) -> ExitCode {
    match report(args, environment) {
        Ok(report) => {
            let shown = if args.json {
                shown_as_json(args, &report)
            } else {
                shown(args, &report)
            };
            println!("{shown}");
            ExitCode::from(u8::from(!report.is_delivered()))
        }
        Err(problem) => {
            eprintln!("roost: {problem}");
            ExitCode::from(2)
        }
    }
}

fn report(args: &ExplainArgs, environment: &Environment) -> Result<Report, String> {
    let dsn = environment
        .database(args.database_url.as_deref())?
        .ok_or("--database-url (or DATABASE_URL) is needed to know which database to look at")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let report = runtime.block_on(explain(dsn, &wanted(args)));
    report.map_err(|error| match error {
        ExplainError::Key(problem) => format!("--key: {problem}"),
        ExplainError::Database(error) => error.to_string(),
    })
}

/// All claims.
fn claims(args: &ExplainArgs) -> Value {
    let mut claims = args.claims.clone();
    claims.insert("role".to_owned(), json!(args.role));
    if let Some(sub) = &args.sub {
        claims.insert("sub".to_owned(), json!(sub));
    }
    Value::Object(claims)
}

fn wanted(args: &ExplainArgs) -> Wanted {
    Wanted {
        publication: args.publication.clone(),
        schema: args.table.schema.clone(),
        table: args.table.name.clone(),
        role: args.role.clone(),
        claims: claims(args).to_string(),
        event: args.event.clone(),
        filter: args.filter.clone(),
        select: args.select.clone(),
        key: args.key.clone(),
    }
}

/// For people.
fn shown(args: &ExplainArgs, report: &Report) -> String {
    let mut text = format!(
        "Changes of {}.{} for role {}, by publication {}\nClaims: {}\n",
        args.table.schema,
        args.table.name,
        args.role,
        args.publication,
        claims(args)
    );
    for section in &report.sections {
        let _ = write!(text, "\n{}\n", section.name);
        for finding in &section.findings {
            let _ = writeln!(text, "  {:<4}  {}", mark(finding), finding.text);
            if let Some(next) = &finding.next {
                let _ = writeln!(text, "        -> {next}");
            }
        }
        if section.name == "row" {
            for (label, json) in [("row ", &report.row), ("data", &report.data)] {
                if let Some(json) = json {
                    let _ = writeln!(text, "  {label}  {json}");
                }
            }
        }
    }
    text.push('\n');
    for verdict in &report.verdicts {
        let action = verdict.action.as_str();
        let _ = match verdict.obstacles.as_slice() {
            [] => writeln!(text, "{action}: would be delivered"),
            obstacles => writeln!(
                text,
                "{action}: would not be delivered ({})",
                obstacles.join(", ")
            ),
        };
    }
    text.truncate(text.trim_end().len());
    text
}

fn mark(finding: &Finding) -> &'static str {
    match finding.level {
        Level::Good => "ok",
        Level::Note => "note",
        Level::Stop => "STOP",
        Level::Bug => "BUG",
    }
}

/// For tools.
fn shown_as_json(args: &ExplainArgs, report: &Report) -> String {
    let finding = |finding: &Finding| {
        let stops: Vec<_> = finding.stops.iter().map(|action| action.as_str()).collect();
        json!({
            "level": match finding.level {
                Level::Good => "ok",
                Level::Note => "note",
                Level::Stop => "stop",
                Level::Bug => "bug",
            },
            "code": finding.code,
            "text": finding.text,
            "next": finding.next,
            "stops": stops,
        })
    };
    let sections: Map<String, Value> = report
        .sections
        .iter()
        .map(|section| {
            (
                section.name.to_owned(),
                section.findings.iter().map(finding).collect(),
            )
        })
        .collect();
    let verdicts: Map<String, Value> = report
        .verdicts
        .iter()
        .map(|verdict| (verdict.action.as_str().to_owned(), json!(verdict.obstacles)))
        .collect();
    // Numbers may be longer than this process can hold: the text of both goes through as it is.
    let verbatim = |json: &Option<String>| json.clone().unwrap_or_else(|| "null".to_owned());
    let rest = json!({
        "schema": args.table.schema,
        "table": args.table.name,
        "role": args.role,
        "claims": claims(args),
        "publication": args.publication,
        "delivered": report.is_delivered(),
        "obstacles": verdicts,
        "findings": sections,
    });
    let mut text = rest.to_string();
    text.pop();
    let (row, data) = (verbatim(&report.row), verbatim(&report.data));
    let _ = write!(text, r#","row":{row},"data":{data}}}"#);
    text
}

/// Reads one or two names, each as it is or in double quotes.
fn parse_table(text: &str) -> Result<TableName, String> {
    let mut names = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                names.last_mut().into_iter().for_each(|name| name.push('"'));
            }
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => names.push(String::new()),
            other => names.last_mut().into_iter().for_each(|name| name.push(other)),
        }
    }
    let (schema, name) = match names.as_slice() {
        [name] => ("public", name),
        [schema, name] => (schema.as_str(), name),
        _ => return Err("a table is NAME or SCHEMA.NAME".to_owned()),
    };
    if is_quoted || schema.is_empty() || name.is_empty() {
        return Err("a table is NAME or SCHEMA.NAME".to_owned());
    }
    Ok(TableName {
        schema: schema.to_owned(),
        name: name.clone(),
    })
}

fn parse_claims(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("claims are a JSON object: {error}"))
}

fn parse_event(text: &str) -> Result<String, String> {
    let event = text.to_ascii_uppercase();
    match event.as_str() {
        "INSERT" | "UPDATE" | "DELETE" | "*" => Ok(event),
        _ => Err("an event is INSERT, UPDATE, DELETE or *".to_owned()),
    }
}

fn parse_key(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("a key is COLUMN=VALUE")?;
    Ok((column.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_and_maybe_a_schema() {
        for (text, schema, name) in [
            ("notes", "public", "notes"),
            ("app.Notes", "app", "Notes"),
            (r#"app."a.b""#, "app", "a.b"),
            (r#""a""b""#, "public", r#"a"b"#),
        ] {
            let (schema, name) = (schema.to_owned(), name.to_owned());
            assert_eq!(parse_table(text), Ok(TableName { schema, name }), "{text}");
        }
        for text in ["", ".a", "a.", "a.b.c", r#""a"#] {
            assert!(parse_table(text).is_err(), "{text}");
        }
    }

    #[test]
    fn events_and_keys_are_looked_at_before_anybody_is_asked() {
        assert_eq!(parse_event("insert").as_deref(), Ok("INSERT"));
        assert!(parse_event("TRUNCATE").is_err());
        assert_eq!(parse_key("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_key("a").is_err());
        assert!(parse_claims("[]").is_err());
    }
}
