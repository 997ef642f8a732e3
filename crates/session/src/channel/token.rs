//! The token of a running channel: its expiry and its refresh. Source: auth.md, sections 4 and 5.

use std::time::Duration;

use phoenix_wire::payload::TokenPush;
use phoenix_wire::refusal::Shutdown;
use phoenix_wire::{Incoming, Payload};

use super::open::Open;
use super::{Channel, Context, Ending, Fate, Phase, sub_topic};
use crate::effects::{AuthorizeFailure, Effects, Grants, Request};
use crate::refusal::{shutdown_of_check, shutdown_of_token};
use crate::tenant::Token;
use crate::timer::Timer;

/// A new token that has been verified.
#[derive(Debug)]
pub(super) struct Refresh {
    pub(super) token: Token,
}

impl<S> Open<S> {
    /// An `access_token` push. Never answered; a token that fails ends the channel.
    pub(super) fn access_token<E: Effects<Subscription = S>>(
        &mut self,
        message: &Incoming<'_>,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let push = match &message.payload {
            Payload::Json(json) => TokenPush::parse(json),
            Payload::UserBroadcast(_) | Payload::Binary(_) => TokenPush::Unknown,
        };
        let text = match push {
            TokenPush::Ignored => return Fate::Stays,
            TokenPush::Unknown => {
                cx.fx.count_event();
                return Fate::Stays;
            }
            TokenPush::Token(text) if text == self.token.text() => return Fate::Stays,
            TokenPush::Token(text) => text,
        };
        match cx.tenant.verify(&text, cx.now.unix_seconds()) {
            Err(error) => Fate::Ends(Ending::Shutdown(shutdown_of_token(&error))),
            Ok(token) if self.is_private() => self.check_refresh(topic, Refresh { token }, cx),
            Ok(token) => {
                self.token = token;
                self.arm_token_timer(cx);
                self.resubscribe_changes(topic, cx);
                Fate::Stays
            }
        }
    }

    /// What the member may read with its new token is known.
    pub(super) fn finish_refresh<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        refresh: Refresh,
        outcome: Result<Grants, AuthorizeFailure>,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let topic_name = sub_topic(topic);
        let shutdown = match outcome {
            Err(failure) => Some(shutdown_of_check(&failure, topic_name)),
            Ok(grants) if !grants.reads_anything() => Some(Shutdown::Unauthorized {
                topic: topic_name.to_owned(),
            }),
            Ok(grants) if grants.revokes(&self.grants) => Some(Shutdown::NoLongerAuthorized {
                topic: topic_name.to_owned(),
            }),
            Ok(grants) => {
                self.grants = grants;
                None
            }
        };
        if let Some(shutdown) = shutdown {
            return Fate::Ends(Ending::Shutdown(shutdown));
        }
        self.token = refresh.token;
        self.apply_reads(cx.fx);
        self.arm_token_timer(cx);
        self.resubscribe_changes(topic, cx);
        Fate::Stays
    }

    /// Arms the timer for the moment the token expires, or sooner: the wall clock may be set.
    pub(super) fn arm_token_timer<E>(&mut self, cx: &mut Context<'_, E>) {
        let left_ms = self
            .token
            .claims()
            .exp()
            .saturating_mul(1000)
            .saturating_sub(cx.now.unix_ms);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(RECHECK_AFTER);
        self.token_deadline = Some(cx.arm(left, self.serial, Timer::Token));
    }

    /// Has the claims of the new token stand behind the channel's changes, without a gap. One at a time: while the claims
    /// of an earlier token are on their way, the latest wait for their turn.
    pub(super) fn resubscribe_changes<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) {
        let ticket = cx.next_ticket();
        let Some(changes) = &mut self.changes else { return };
        changes.is_outdated = changes.pending.is_some();
        if changes.is_outdated {
            return;
        }
        changes.pending = Some(ticket);
        cx.fx.request(Request::SubscribeChanges {
            ticket,
            replaces: Some(changes.ticket),
            topic: topic.into(),
            bindings: changes.bindings.clone(),
            legacy: changes.legacy,
            claims: self.token.claims().clone(),
        });
    }
}

impl<S> Channel<S> {
    /// The token timer went off.
    pub(crate) fn check_token<E: Effects<Subscription = S>>(&mut self, cx: &mut Context<'_, E>) -> Fate {
        let Phase::Open(open) = &mut self.phase else {
            return Fate::Stays;
        };
        if open.is_refreshing() {
            // Another token is about to take its place; when it has, it arms its own timer.
            open.token_deadline = None;
            return Fate::Stays;
        }
        let seconds_ago = cx.now.unix_seconds() - open.token.claims().exp();
        if seconds_ago >= 0 {
            return Fate::Ends(Ending::Shutdown(Shutdown::TokenExpired { seconds_ago }));
        }
        open.arm_token_timer(cx);
        Fate::Stays
    }
}

/// Longest time between two looks at the wall clock.
const RECHECK_AFTER: Duration = Duration::from_secs(300);
