//! A presence push: track and untrack. Source: presence.md, section 1.

use phoenix_wire::Payload;
use phoenix_wire::encode::Status;
use phoenix_wire::payload::{PresencePayload, PresencePush, Tracking};
use phoenix_wire::refusal::{self, Shutdown};

use super::open::Open;
use super::{Context, Ending, Fate, Reply};
use crate::effects::Effects;

impl<S> Open<S> {
    /// Presence pushes are always answered, unless the channel ends over them.
    pub(super) fn presence<E: Effects<Subscription = S>>(
        &mut self,
        reply: &mut Reply<'_>,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let push = match &reply.to.payload {
            Payload::Json(json) => PresencePush::parse(json),
            Payload::UserBroadcast(_) | Payload::Binary(_) => PresencePush::Nothing,
        };
        let denied = match self.admit_presence(&push, topic, cx) {
            Ok(denied) => denied,
            Err(fate) => return fate,
        };
        match push {
            PresencePush::Nothing => reply.send(Status::Ok, "{}", cx.fx),
            PresencePush::EventNotText => return Fate::Ends(Ending::Crashed),
            PresencePush::Unknown => reply.send(Status::Error, "{}", cx.fx),
            PresencePush::Untrack => {
                cx.fx.untrack(&self.subscription);
                reply.send(Status::Ok, "{}", cx.fx);
            }
            PresencePush::Track(_) if denied => reply.send(Status::Error, "{}", cx.fx),
            PresencePush::Track(PresencePayload::NotAnObject) => {
                reply.send(Status::Error, refusal::TRACK_NOT_A_MAP, cx.fx);
            }
            PresencePush::Track(PresencePayload::Object { json, term_size }) => {
                if cx.tenant.is_oversize(term_size) {
                    return Fate::Ends(Ending::Shutdown(Shutdown::TrackTooLarge));
                }
                if cx.tenant.presence.is_above() {
                    return Fate::Ends(Ending::Shutdown(Shutdown::TooManyPresenceMessages));
                }
                let key = self.config.presence_key(cx.fx);
                let tracking = cx.fx.track(&self.subscription, key, json);
                let status = match tracking {
                    Tracking::Changed | Tracking::Unchanged => Status::Ok,
                    Tracking::Refused => Status::Error,
                };
                if tracking == Tracking::Changed {
                    cx.fx.count_presence();
                }
                reply.send(status, "{}", cx.fx);
            }
        }
        Fate::Stays
    }

    /// Counts the call, and on private channels sees to the permission to track. Returns whether it is denied.
    fn admit_presence<E: Effects<Subscription = S>>(
        &mut self,
        push: &PresencePush<'_>,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) -> Result<bool, Fate> {
        if matches!(push, PresencePush::Nothing | PresencePush::EventNotText) {
            return Ok(false);
        }
        let permission = match (push, self.config.private) {
            (PresencePush::Track(_), true) => self.grants.presence_write,
            _ => Some(true),
        };
        if permission.is_none() {
            return Err(self.check_write(topic, self.grants.presence_read.is_none(), cx));
        }
        self.admit_call(cx)?;
        Ok(permission == Some(false))
    }

    /// Counts a presence push against the limit of the channel.
    pub(super) fn admit_call<E>(&mut self, cx: &Context<'_, E>) -> Result<(), Fate> {
        let policy = cx.tenant.policy();
        let (max, window) = (policy.client_presence_calls_max, policy.client_presence_window);
        if self.presence_calls.admit(cx.now.elapsed, max, window) {
            Ok(())
        } else {
            Err(Fate::Ends(Ending::Shutdown(Shutdown::ClientPresenceLimit)))
        }
    }
}
