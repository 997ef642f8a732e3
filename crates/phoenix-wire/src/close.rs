//! Why the server closes a connection, and the code that says so.

use websocket::{Frame, ProtocolError, close_frame};

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Nothing has arrived for the idle timeout. 1000, as the reference does; every Supabase client reconnects.
    Idle,
    /// A join was refused in a way that ends the connection: the tenant is gone or joins come too fast.
    Refused,
    /// The peer broke the framing rules.
    ProtocolError,
    /// The peer announced a message above the cap.
    MessageTooBig,
    /// The server restarts, or the tenant's sockets are disconnected by a change of its settings.
    Restart,
    /// The peer does not read: its queue of outgoing frames overflowed. Not 1000, which stock Phoenix clients take as
    /// final: the client has to come back, and to join afresh because it missed messages.
    SlowConsumer,
    /// The connection has had no channel for too long after its last one ended.
    NoChannel,
}

impl CloseReason {
    /// The close code. Source: protocol-spec/errors-and-limits.md, section 7.
    pub const fn code(self) -> u16 {
        match self {
            Self::Idle => 1000,
            Self::Refused | Self::NoChannel => 1001,
            Self::ProtocolError => 1002,
            Self::SlowConsumer => 1008,
            Self::MessageTooBig => 1009,
            Self::Restart => 1012,
        }
    }

    /// A word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Refused => "refused",
            Self::ProtocolError => "protocol_error",
            Self::MessageTooBig => "message_too_big",
            Self::Restart => "restart",
            Self::SlowConsumer => "slow_consumer",
            Self::NoChannel => "no_channel",
        }
    }

    /// The close frame. It carries no reason text: clients ignore it.
    pub fn frame(self) -> Frame {
        close_frame(self.code(), "")
    }
}

impl From<&ProtocolError> for CloseReason {
    fn from(error: &ProtocolError) -> Self {
        match error {
            ProtocolError::MessageTooBig { .. } => Self::MessageTooBig,
            _ => Self::ProtocolError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CloseReason; 7] = [
        CloseReason::Idle,
        CloseReason::Refused,
        CloseReason::ProtocolError,
        CloseReason::MessageTooBig,
        CloseReason::Restart,
        CloseReason::SlowConsumer,
        CloseReason::NoChannel,
    ];

    #[test]
    fn only_an_idle_connection_is_closed_with_1000() {
        let normal: Vec<_> = ALL.into_iter().filter(|reason| reason.code() == 1000).collect();
        assert_eq!(normal, [CloseReason::Idle]);
    }

    #[test]
    fn framing_errors_and_their_close_reason_agree_on_the_code() {
        for error in [
            ProtocolError::Unmasked,
            ProtocolError::MessageTooBig { announced: 2, max: 1 },
        ] {
            assert_eq!(CloseReason::from(&error).code(), error.close_code());
        }
    }
}
