//! Points in time: the ISO style of `DateStyle` to that of XML Schema, which JSON uses.

use phoenix_wire::json::write_string;

/// `2026-02-28 12:34:56.5` to `"2026-02-28T12:34:56.5"`. Infinities and the era stay as they are.
pub(super) fn write_timestamp(out: &mut String, text: &str) {
    write_string(out, &text.replacen(' ', "T", 1));
}

/// The same, and minutes for an offset that has only hours: `+00` to `+00:00`.
pub(super) fn write_timestamptz(out: &mut String, text: &str) {
    let mut iso = text.replacen(' ', "T", 1);
    let (moment_end, era) = match iso.strip_suffix(" BC") {
        Some(moment) => (moment.len(), " BC"),
        None => (iso.len(), ""),
    };
    let offset = iso
        .find('T')
        .and_then(|time| iso.get(time..moment_end)?.rsplit(['+', '-']).next())
        .unwrap_or_default();
    if offset.len() == 2 {
        iso.truncate(moment_end);
        iso.push_str(":00");
        iso.push_str(era);
    }
    write_string(out, &iso);
}
