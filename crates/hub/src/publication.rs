//! A message encoded for every serializer that has listeners: the fastlane.

use phoenix_wire::Version;
use websocket::Frame;

/// Finished frames of one message, at most one per serializer. Cloning shares the bytes.
///
/// A serializer without a frame does not get the message: either nobody with that serializer listens, or the message
/// cannot be expressed in it (binary payloads do not exist in 1.0.0).
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// Frame for 1.0.0 subscribers.
    pub v1: Option<Frame>,
    /// Frame for 2.0.0 subscribers.
    pub v2: Option<Frame>,
    /// `meta.id` of a broadcast, which suppresses it for channels that already got it by replay.
    pub id: Option<std::sync::Arc<str>>,
}

impl Publication {
    /// Encodes with `encode` for each serializer for which `wanted` says that someone listens.
    pub fn encode(
        wanted: impl Fn(Version) -> bool,
        mut encode: impl FnMut(Version) -> Option<Frame>,
    ) -> Self {
        let mut frame = |version| wanted(version).then(|| encode(version)).flatten();
        Self {
            v1: frame(Version::V1),
            v2: frame(Version::V2),
            id: None,
        }
    }

    /// The frame for `version`, if there is one.
    pub fn frame(&self, version: Version) -> Option<&Frame> {
        match version {
            Version::V1 => self.v1.as_ref(),
            Version::V2 => self.v2.as_ref(),
        }
    }

    /// Whether no serializer has a frame.
    pub fn is_empty(&self) -> bool {
        self.v1.is_none() && self.v2.is_none()
    }
}
