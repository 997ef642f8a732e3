//! What the client gets for its binding: an echo and changes, or a refusal.

use std::sync::Arc;

use changes::pgoutput::Value;
use changes::{
    Action, Binding, BindingRefused, ColumnSet, Condition, EventFilter, Mapping, NumberedBinding, RowChange,
    Selectable, Subscription, SubscriptionIndex, Table,
};
use database::explain::{TableFacts, remedies};
use database::{Error, Pool};
use phoenix_wire::json::{self, write_string};
use phoenix_wire::payload::changes::{self as text, Exception};
use phoenix_wire::payload::{JoinPayload, RawBinding};

use super::Wanted;
use super::report::{EVERY, Section};
use crate::feed::catalog::Reading;

/// A subscriber in the index: there is one.
pub(super) type Index = SubscriptionIndex<()>;

/// Looks at the binding. Returns it if it would be accepted. `reading` is `None` without the publication, `table` if it is
/// not published.
///
/// # Errors
///
/// Those of the database.
pub(super) async fn look(
    pool: &Pool,
    wanted: &Wanted,
    reading: Option<&Reading>,
    table: Option<(&Arc<Table>, &TableFacts)>,
) -> Result<(Section, Option<Binding>), Error> {
    let mut section = Section::new("binding");
    let accepted = match raw(wanted).as_ref().map(Binding::parse) {
        Some(Ok(binding)) => accept(pool, wanted, reading, binding).await?,
        Some(Err(refused)) => Err(refused.message),
        None => Err(text::no_params("{}")),
    };
    let binding = match accepted {
        Ok(binding) => binding,
        Err(message) => {
            let text = format!("the binding is refused; the client is told \"{message}\"");
            section.stop("binding-refused", &EVERY, text);
            return Ok((section, None));
        }
    };
    let text = format!(
        "the binding is accepted; the client is told \"{}\"",
        text::SUBSCRIBED
    );
    section.good("binding-accepted", text);
    if let Some((table, facts)) = table {
        for condition in &binding.filters {
            judged_where(condition, table, &mut section);
        }
        unlogged_columns(&binding, facts, &mut section);
    }
    if let Some(columns) = &binding.select {
        let text = format!("told are {} and the primary key", columns.join(", "));
        section.note("select", text);
    }
    Ok((section, Some(binding)))
}

/// An index with the binding in it, for every action and for a role that may select `columns` of the table.
///
/// # Errors
///
/// The binding does not suit the table.
pub(super) fn index(
    wanted: &Wanted,
    binding: &Binding,
    table: &Table,
    columns: &ColumnSet,
) -> Result<Index, BindingRefused> {
    let mut index = Index::new([table.clone()].into_iter().collect());
    index.set_selectable(
        &wanted.role,
        Selectable::from_iter([(table.oid, columns.clone())]),
    );
    let binding = Binding {
        event: EventFilter::All,
        ..binding.clone()
    };
    index.insert((), subscription(wanted, binding))?;
    Ok(index)
}

/// The same with one condition only, for a role that may select everything.
pub(super) fn index_of(wanted: &Wanted, condition: &Condition, table: &Table) -> Option<Index> {
    let binding = Binding {
        event: EventFilter::All,
        schema: changes::NamePattern::new("*"),
        table: changes::NamePattern::new("*"),
        filters: vec![condition.clone()],
        select: None,
        snapshot: false,
        visible_deletes: false,
        left: false,
    };
    index(wanted, &binding, table, &every_column(table)).ok()
}

/// All columns of a table.
pub(super) fn every_column(table: &Table) -> ColumnSet {
    (0..table.columns.len()).collect()
}

/// A condition for people.
pub(super) fn shown(condition: &Condition) -> String {
    let not = if condition.negated { "not " } else { "" };
    let (column, operator) = (&condition.column, condition.operator.as_str());
    format!("{column} {not}{operator} {}", condition.value)
}

/// The binding as a client would send it.
fn raw(wanted: &Wanted) -> Option<RawBinding> {
    let mut object = String::from("{");
    let mut member = |name: &str, value: &str| {
        if object.len() > 1 {
            object.push(',');
        }
        write_string(&mut object, name);
        object.push(':');
        write_string(&mut object, value);
    };
    member("event", &wanted.event);
    member("schema", &wanted.schema);
    member("table", &wanted.table);
    if let Some(filter) = &wanted.filter {
        member("filter", filter);
    }
    if !wanted.select.is_empty() {
        object.push_str(r#","select":["#);
        for (at, column) in wanted.select.iter().enumerate() {
            if at > 0 {
                object.push(',');
            }
            write_string(&mut object, column);
        }
        object.push(']');
    }
    let payload = format!(r#"{{"config":{{"postgres_changes":[{object}}}]}}}}"#);
    let payload = json::check(payload.as_bytes()).ok()?;
    JoinPayload::parse(&payload).ok()?.changes.pop()
}

/// The binding, or what the client is told instead.
async fn accept(
    pool: &Pool,
    wanted: &Wanted,
    reading: Option<&Reading>,
    binding: Binding,
) -> Result<Result<Binding, String>, Error> {
    let Some(reading) = reading else {
        return Ok(Ok(binding));
    };
    let Some(selectable) = reading.roles.get(&*wanted.role) else {
        let missing = Exception::RoleMissing(wanted.role.as_str().into());
        return Ok(Err(binding.rejected(&missing).message));
    };
    let mut index = Index::new(reading.tables.clone());
    index.set_selectable(&wanted.role, selectable.clone());
    let subscription = subscription(wanted, binding.clone());
    for condition in index.unproven(&subscription) {
        match pool.check_condition(&condition).await {
            Ok(()) => {}
            Err(Error::Statement(said)) => {
                let exception = condition.refused(&said.sqlstate, &said.message);
                return Ok(Err(binding.rejected(&exception).message));
            }
            Err(error) => return Err(error),
        }
    }
    let inserted = index.insert((), subscription);
    Ok(inserted.map(|()| binding).map_err(|refused| refused.message))
}

fn subscription(wanted: &Wanted, binding: Binding) -> Subscription {
    Subscription {
        role: wanted.role.as_str().into(),
        claims: wanted.claims.as_str().into(),
        bindings: vec![NumberedBinding {
            id: 1,
            binding: Arc::new(binding),
        }],
    }
}

/// Finds out who evaluates a condition, by rows of nothing but one text.
fn judged_where(condition: &Condition, table: &Arc<Table>, section: &mut Section) {
    let nobody = Wanted::default();
    let Some(index) = index_of(&nobody, condition, table) else {
        return;
    };
    let mapping = Mapping::of_table(table.clone());
    let asks = |text| {
        let values = vec![Value::Text(text); table.columns.len()];
        let row = RowChange::snapshot(&mapping, &values);
        row.is_ok_and(|row| !index.questions(&row).is_empty())
    };
    let condition = shown(condition);
    if asks("a") {
        let text = format!("{condition}: asked of the database, for every value");
        section.note("condition-asked", text);
    } else if asks("é") {
        let text =
            format!("{condition}: evaluated in memory, but asked of the database for text beyond ASCII");
        section.note("condition-asked-at-times", text);
    } else {
        section.good("condition", format!("{condition}: evaluated in memory"));
    }
}

/// A condition on a column that is not in the log fails.
fn unlogged_columns(binding: &Binding, facts: &TableFacts, section: &mut Section) {
    for condition in &binding.filters {
        let mut columns = facts.columns.iter();
        let Some(column) = columns.find(|column| *column.name == *condition.column) else {
            continue;
        };
        let condition = shown(condition);
        if !column.is_published {
            let text = format!("{condition} never holds: {} is not in the stream", column.sql);
            section.stop("filter-column-not-published", &EVERY, text);
        } else if !column.in_identity {
            let text = format!(
                "{condition} never holds for a DELETE: {} is not in the replica identity",
                column.sql
            );
            let finding = section.stop("filter-column-not-in-identity", &[Action::Delete], text);
            finding.next(remedies::log_former_rows(facts));
        }
    }
}
