//! What the two sides of a replication stream say inside their copy data.
//!
//! Source: the PostgreSQL manual, section 55.4, streaming replication protocol.

use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};

use crate::error::{Error, protocol};
use crate::lsn::Lsn;

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerMessage {
    /// A piece of the decoded log.
    XLogData { lsn: Lsn, data: Bytes },
    /// Nothing before `end` is still to come.
    Keepalive { end: Lsn, reply_requested: bool },
}

/// How far we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusUpdate {
    /// Everything before it has arrived.
    pub(crate) received: Lsn,
    /// Everything before it is done with and need not be kept.
    pub(crate) flushed: Lsn,
    /// Whether the server is to answer at once.
    pub(crate) reply_requested: bool,
}

impl ServerMessage {
    pub(crate) fn parse(mut bytes: Bytes) -> Result<ServerMessage, Error> {
        let truncated = || protocol("a truncated replication message");
        match bytes.try_get_u8().map_err(|_| truncated())? {
            b'w' => {
                let lsn = bytes.try_get_u64().map_err(|_| truncated())?;
                // The end of the log as far as known, which for logical decoding is `lsn` again, and the server's clock.
                bytes.try_get_u64().map_err(|_| truncated())?;
                bytes.try_get_u64().map_err(|_| truncated())?;
                Ok(ServerMessage::XLogData {
                    lsn: lsn.into(),
                    data: bytes,
                })
            }
            b'k' => {
                let end = bytes.try_get_u64().map_err(|_| truncated())?;
                bytes.try_get_u64().map_err(|_| truncated())?;
                let reply_requested = bytes.try_get_u8().map_err(|_| truncated())? != 0;
                Ok(ServerMessage::Keepalive {
                    end: end.into(),
                    reply_requested,
                })
            }
            _ => Err(protocol("an unknown replication message")),
        }
    }
}

impl StatusUpdate {
    /// The whole frame, tag and length included.
    pub(crate) fn encode(&self, clock: SystemTime) -> Vec<u8> {
        let mut frame = Vec::with_capacity(39);
        frame.put_u8(b'd');
        frame.put_u32(38);
        frame.put_u8(b'r');
        frame.put_u64(self.received.as_u64());
        frame.put_u64(self.flushed.as_u64());
        // Applied: the server only reports it.
        frame.put_u64(self.flushed.as_u64());
        let since_2000 = clock.duration_since(SystemTime::UNIX_EPOCH + POSTGRES_EPOCH);
        frame.put_u64(since_2000.unwrap_or_default().as_micros() as u64);
        frame.put_u8(self.reply_requested.into());
        frame
    }
}

/// From 1970 to 2000, where PostgreSQL's clock begins.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_are_those_of_the_manual() {
        let update = StatusUpdate {
            received: 0x0102.into(),
            flushed: 0x0101.into(),
            reply_requested: true,
        };
        let clock = SystemTime::UNIX_EPOCH + POSTGRES_EPOCH + Duration::from_micros(7);
        let expected = [
            &b"d\0\0\0\x26r"[..],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 0, 0, 0, 1, 1],
            &[0, 0, 0, 0, 0, 0, 1, 1],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[1],
        ]
        .concat();
        assert_eq!(update.encode(clock), expected);

        let keepalive = Bytes::from_static(b"k\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\x01");
        assert_eq!(
            ServerMessage::parse(keepalive),
            Ok(ServerMessage::Keepalive {
                end: 5.into(),
                reply_requested: true
            })
        );
        let data = Bytes::from_static(b"w\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0I...");
        assert_eq!(
            ServerMessage::parse(data),
            Ok(ServerMessage::XLogData {
                lsn: 5.into(),
                data: Bytes::from_static(b"I...")
            })
        );
    }

    #[test]
    fn whatever_is_cut_off_is_an_error() {
        for whole in [&[b'w'; 25][..], &[b'k'; 18]] {
            for length in 0..whole.len() {
                assert!(ServerMessage::parse(Bytes::copy_from_slice(&whole[..length])).is_err());
            }
            assert!(ServerMessage::parse(Bytes::copy_from_slice(whole)).is_ok());
        }
        assert!(ServerMessage::parse(Bytes::from_static(b"x")).is_err());
    }
}
