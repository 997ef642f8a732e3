//! Who decides which rows the role sees.

use changes::policy::{RowPolicies, RowSecurity};
use database::explain::{Facts, TableFacts, remedies};

use super::report::{OF_ROWS, Section};

/// Looks at the row level security of the table for the role. `security` is what the catalog says, `policies` what the
/// feed makes of it, which it does for published tables.
pub(super) fn look(
    facts: &Facts,
    table: &TableFacts,
    security: Option<&RowSecurity>,
    policies: Option<&RowPolicies>,
) -> Section {
    let mut section = Section::new("policies");
    let (name, role) = (&table.sql, &facts.role_sql);
    if !table.row_security {
        if table.policies > 0 {
            let text = format!(
                "row level security of {name} is off: it has policies ({}), and nobody asks them",
                table.policies
            );
            let finding = section.note("policies-off", text);
            finding.next(remedies::apply_policies(table));
        } else {
            let text = format!("row level security of {name} is off: every row is told");
            section.good("row-security-off", text);
        }
        return section;
    }
    // Without the role there is nothing to say.
    let Some(security) = security else {
        return section;
    };
    if security.bypassed {
        let text = format!(
            "row level security of {name} is on, but not for {role}: {}",
            why(facts, table)
        );
        section.note("bypassed", text);
    } else {
        section.good("row-security-on", format!("row level security of {name} is on"));
        list(security, policies, &mut section);
        let lets_through = |permissive: bool, has_expression: bool| permissive && has_expression;
        let mut found = security.policies.iter();
        if !found.any(|policy| lets_through(policy.permissive, policy.expression.is_some())) {
            let text = format!("no permissive policy for SELECT is {role}'s: it sees no row");
            let finding = section.stop("no-policy", &OF_ROWS, text);
            finding.next(remedies::create_policy(facts, table));
        }
        if let Some(obstacle) = policies.and_then(RowPolicies::obstacle) {
            let text = format!("so the database is asked about every INSERT and UPDATE: {obstacle}");
            section.note("asked-of-database", text);
        }
    }
    let text = "a DELETE is told whatever the policies say, with no more than the primary key, as there is no row any more";
    let finding = section.note("deletes-unasked", text);
    if table.identity == 'f' {
        finding.next(r#"a binding with "deletes":"visible" is told whole rows, and only those its policies let it see"#);
    } else {
        finding.next(format!(
            r#"for deletes that policies decide about: {}, and "deletes":"visible" in the binding"#,
            remedies::log_former_rows(table)
        ));
    }
    section
}

/// Why nobody asks the policies.
fn why(facts: &Facts, table: &TableFacts) -> String {
    let role = facts.role.as_ref();
    if role.is_some_and(|role| role.is_superuser) {
        "it is a superuser".to_owned()
    } else if role.is_some_and(|role| role.bypasses_policies) {
        "it has BYPASSRLS".to_owned()
    } else {
        format!(
            "it has the privileges of the owner {}, and row level security is not forced",
            table.owner_sql
        )
    }
}

fn list(security: &RowSecurity, policies: Option<&RowPolicies>, section: &mut Section) {
    let describe = |name: &str, permissive: bool, expression: Option<&str>, how: String| {
        let kind = if permissive { "permissive" } else { "restrictive" };
        let expression = expression.unwrap_or("no condition");
        format!("{kind} policy {name:?}: {expression}{how}")
    };
    let Some(policies) = policies else {
        for policy in &security.policies {
            let expression = policy.expression.as_deref();
            section.note(
                "policy",
                describe(&policy.name, policy.permissive, expression, String::new()),
            );
        }
        return;
    };
    for policy in policies.describe() {
        let how = match policy.obstacle {
            None if policies.proven() => " — evaluated in memory".to_owned(),
            None => " — would be evaluated in memory if it were alone".to_owned(),
            Some(obstacle) => format!(" — asked of the database: {obstacle}"),
        };
        section.note(
            "policy",
            describe(policy.name, policy.permissive, policy.expression, how),
        );
    }
}
