//! A broadcast pushed by the client. Source: broadcast.md, sections 2 to 6.

use phoenix_wire::encode::Status;
use phoenix_wire::{Payload, Version, decode, event, refusal};

use super::open::Open;
use super::{Channel, Context, Ending, Fate, Phase, Reply};
use crate::broadcast::Broadcast;
use crate::effects::Effects;

impl<S> Open<S> {
    /// Checks the write permission and the size, hands the message to all listeners, acknowledges.
    pub(super) fn broadcast<E: Effects<Subscription = S>>(
        &mut self,
        reply: &mut Reply<'_>,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        if self.config.private {
            match self.grants.broadcast_write {
                Some(true) => {}
                Some(false) => return Fate::Stays,
                None => return self.check_write(topic, false, cx),
            }
        }
        cx.fx.count_event();
        let message = match &reply.to.payload {
            Payload::Json(json) => Broadcast::Text(json),
            Payload::UserBroadcast(user) => Broadcast::User(user),
            Payload::Binary(data) => Broadcast::Raw(data),
        };
        if cx.tenant.is_oversize(message.term_size()) {
            if self.config.ack {
                reply.send(Status::Error, refusal::PAYLOAD_SIZE_EXCEEDED, cx.fx);
            }
            return Fate::Stays;
        }
        if let Broadcast::Text(json) = message
            && !json.is_object()
            && cx.fx.has_audience(&self.subscription, Version::V2, self.sender())
        {
            return Fate::Ends(Ending::Crashed);
        }
        cx.fx.publish(&self.subscription, self.sender(), &message);
        if self.config.ack {
            reply.send(Status::Ok, "{}", cx.fx);
        }
        Fate::Stays
    }
}

impl<S> Channel<S> {
    /// Answers the message whose permission check failed as if the permission was denied: nothing for a broadcast, an
    /// error for a track, which counts as a call. The permission stays unknown, so the next message asks again.
    pub(super) fn refuse_first_of_backlog<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let Some((kind, bytes)) = self.backlog.pop_front() else {
            return Fate::Stays;
        };
        let Ok(message) = decode(cx.version, kind, &bytes) else {
            return Fate::Stays;
        };
        debug_assert_eq!(message.topic.as_text(), Some(topic));
        if message.event.as_text() == Some(event::PRESENCE) {
            if let Phase::Open(open) = &mut self.phase
                && let Err(fate) = open.admit_call(cx)
            {
                return fate;
            }
            let reply = Reply {
                to: &message,
                join_ref: self.push_ref().as_view(),
                version: cx.version,
            };
            reply.send(Status::Error, "{}", cx.fx);
        }
        Fate::Stays
    }
}
