//! What a command changed in the rows.

use super::rows::Row;

/// Every row that changed, with old and new values, lost (`-`) and gained (`+`) entries.
pub(crate) fn difference(before: &[Row], after: &[Row]) -> String {
    let find = |rows: &[Row], name: &str| rows.iter().position(|row| row.name == name);
    let mut out = String::new();
    for row in before {
        if find(after, &row.name).is_none() {
            out.push_str(&format!("{} is gone\n", row.name));
        }
    }
    for row in after {
        let changes = match find(before, &row.name) {
            None => created(row),
            Some(index) => changed(&before[index], row),
        };
        if !changes.is_empty() {
            out.push_str(&format!("{}\n{changes}", row.name));
        }
    }
    out
}

/// A row as if it were new.
pub(crate) fn created(row: &Row) -> String {
    let set = row.values.iter().filter(|(_, value)| !value.is_empty());
    let values = set.map(|(name, value)| format!("    {name} {value}\n"));
    let entries = row.entries.iter().map(|entry| format!("  + {entry}\n"));
    values.chain(entries).collect()
}

fn changed(before: &Row, after: &Row) -> String {
    let pairs = before.values.iter().zip(&after.values);
    let changed = pairs.filter(|(old, new)| old != new);
    let mut out: String = changed
        .map(|((name, old), (_, new))| match (&old[..], &new[..]) {
            ("", new) => format!("    {name} {new}\n"),
            (old, "") => format!("    {name} {old} -> none\n"),
            (old, new) => format!("    {name} {old} -> {new}\n"),
        })
        .collect();
    let mut gained = after.entries.clone();
    for entry in &before.entries {
        match gained.iter().position(|it| it == entry) {
            Some(index) => drop(gained.remove(index)),
            None => out.push_str(&format!("  - {entry}\n")),
        }
    }
    out.extend(gained.iter().map(|entry| format!("  + {entry}\n")));
    out
}
