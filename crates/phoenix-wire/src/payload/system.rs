//! Notices about a channel. Source: protocol-spec/errors-and-limits.md, sections 1 and 4.

use crate::Status;
use crate::json::{Sink, write_string};

/// The payload of messages that say everything by their event: `phx_close`, an accepted push.
pub const EMPTY_OBJECT: &str = "{}";

/// A `system` payload. `channel` is the sub-topic; only the notice of a tenant-wide disconnect has none.
pub fn system(extension: &str, ok: bool, message: &str, channel: Option<&str>) -> String {
    let status = if ok { Status::Ok } else { Status::Error };
    let mut payload = String::with_capacity(message.len() + channel.map_or(0, str::len) + 96);
    payload.put(r#"{"message":"#);
    write_string(&mut payload, message);
    payload.put(r#","status":""#);
    payload.put(status.as_str());
    payload.put(r#"","extension":"#);
    write_string(&mut payload, extension);
    if let Some(channel) = channel {
        payload.put(r#","channel":"#);
        write_string(&mut payload, channel);
    }
    payload.put("}");
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_its_channel_if_it_has_one() {
        assert_eq!(
            system("postgres_changes", false, "no `x`: \"y\"", Some("a:b")),
            r#"{"message":"no `x`: \"y\"","status":"error","extension":"postgres_changes","channel":"a:b"}"#
        );
        assert_eq!(
            system("system", true, "Server requested disconnect", None),
            r#"{"message":"Server requested disconnect","status":"ok","extension":"system"}"#
        );
    }
}
