//! What the routes of a tenant share: its rate of requests, then its token, then the action.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use auth::Claims;
use database::Questions;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use phoenix_wire::refusal::HttpRefusal;
use session::AuthorizeFailure;

use super::body::BodyKind;
use super::reply::{self, Response};
use super::route::SingleTarget;
use super::{Request, batch, policy_headers, query, single};
use crate::private::Question;
use crate::tenant::TenantRuntime;
use crate::worker::Worker;

/// `GET /api/ping`
pub(super) fn ping(worker: &Worker, request: &Request) -> Response {
    match find_tenant(worker, request).map(|tenant| Admitted::new(worker, tenant)) {
        Err(refusal) => reply::refuse(&refusal),
        Ok(admitted) => admitted.finish(match admitted.is_too_fast() {
            true => reply::refuse(&HttpRefusal::TooManyRequests),
            false => reply::json(200, r#"{"message":"Success"}"#),
        }),
    }
}

/// A broadcast: to one topic and event if they are in the path, else a batch.
pub(super) async fn broadcast(
    worker: &Rc<Worker>,
    request: Request,
    target: Option<SingleTarget>,
) -> Response {
    let has_origin = request.headers().contains_key(header::ORIGIN);
    let mut response = try_broadcast(worker, request, target).await;
    if has_origin {
        response
            .headers_mut()
            .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

async fn try_broadcast(worker: &Worker, request: Request, target: Option<SingleTarget>) -> Response {
    let kind = BodyKind::of(&request);
    if target.is_some() && kind == BodyKind::Other {
        return reply::refuse(&HttpRefusal::UnsupportedMediaType);
    }
    let tenant = match find_tenant(worker, &request) {
        Ok(tenant) => tenant,
        Err(refusal) => return reply::refuse(&refusal),
    };
    let admitted = Admitted::new(worker, tenant);
    let outcome = async {
        if admitted.is_too_fast() {
            return Err(HttpRefusal::TooManyRequests);
        }
        let caller = authenticate(worker, tenant, request.headers())?;
        if tenant.is_suspended() {
            return Err(HttpRefusal::TenantSuspended);
        }
        let is_private = query::last(request.uri().query(), "private").as_deref() == Some("true");
        let body = super::body::read(request.into_body()).await?;
        let sent = match target {
            Some(target) => single::broadcast(tenant, &caller, &target, is_private, kind, &body).await,
            None => batch::broadcast(tenant, &caller, kind, &body).await,
        };
        // A worker that is far behind holds back whoever publishes to it.
        poll_fn(|cx| worker.shared().ports.poll_relaxed(cx)).await;
        sent
    };
    admitted.finish(match outcome.await {
        Ok(()) => reply::empty(202),
        Err(refusal) => reply::refuse(&refusal),
    })
}

fn find_tenant<'a>(worker: &'a Worker, request: &Request) -> Result<&'a Arc<TenantRuntime>, HttpRefusal> {
    let tenants = &worker.shared().tenants;
    tenants
        .of_host(host(request))
        .ok_or(HttpRefusal::TenantNotInDatabase)
}

/// The host a request names.
pub(super) fn host(request: &Request) -> &str {
    let header = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    header.or_else(|| request.uri().host()).unwrap_or_default()
}

/// The bearer token, else the `apikey` header. Source: http-api.md, section 2.3.
fn authenticate(worker: &Worker, tenant: &TenantRuntime, headers: &HeaderMap) -> Result<Caller, HttpRefusal> {
    let now = worker.shared().clock.now().unix_seconds();
    let token = tenant.session().verify(credential(headers)?, now);
    let token = token.map_err(|_| HttpRefusal::Unauthorized)?;
    Ok(Caller {
        claims: token.claims().clone(),
        headers: policy_headers::of_request(headers),
    })
}

/// Who makes a request, as policies see them.
#[derive(Debug)]
pub(super) struct Caller {
    claims: Arc<Claims>,
    headers: Arc<str>,
}

impl Caller {
    /// Whether the policies let the caller broadcast on a private topic.
    pub(super) async fn may_broadcast(
        &self,
        tenant: &TenantRuntime,
        topic: &str,
    ) -> Result<bool, AuthorizeFailure> {
        let Some(private) = tenant.private() else {
            return Err(AuthorizeFailure::Unavailable);
        };
        let question = Question {
            topic: topic.into(),
            claims: self.claims.clone(),
            headers: self.headers.clone(),
            questions: Questions {
                broadcast_write: true,
                ..Questions::default()
            },
        };
        let grants = private.answer(question).await?;
        Ok(grants.broadcast_write == Some(true))
    }
}

fn credential(headers: &HeaderMap) -> Result<&str, HttpRefusal> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let bearer = match value(header::AUTHORIZATION) {
        None | Some("") => None,
        Some(authorization) => match authorization.split(' ').collect::<Vec<_>>()[..] {
            [scheme, token] => scheme.eq_ignore_ascii_case("bearer").then_some(token),
            _ => return Err(HttpRefusal::Unauthorized),
        },
    };
    bearer
        .or_else(|| value(HeaderName::from_static("apikey")))
        .ok_or(HttpRefusal::Unauthorized)
}

/// A request that has been counted.
struct Admitted<'a> {
    tenant: &'a TenantRuntime,
    average: u64,
}

impl<'a> Admitted<'a> {
    fn new(worker: &Worker, tenant: &'a TenantRuntime) -> Self {
        let now = worker.shared().clock.now().elapsed;
        tenant.refresh_rates(now);
        tenant.requests().refresh(now, || 0);
        tenant.requests().add(1);
        Self {
            tenant,
            average: tenant.requests().average() as u64,
        }
    }

    fn is_too_fast(&self) -> bool {
        self.tenant
            .requests()
            .limit()
            .is_some_and(|limit| self.average >= limit)
    }

    /// Adds the rate headers; a tenant without a limit has only the rate itself.
    fn finish(&self, mut response: Response) -> Response {
        let mut put = |name, value: u64| {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        put("x-rate-rolling", self.average);
        if let Some(limit) = self.tenant.requests().limit() {
            put("x-rate-limit", limit);
            put("x-rate-limit-remaining", limit.saturating_sub(self.average));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential_of(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        credential(&headers).ok().map(str::to_owned)
    }

    #[test]
    fn a_bearer_token_wins_and_an_empty_one_counts_as_absent() {
        for (headers, token) in [
            (&[("authorization", "Bearer a"), ("apikey", "b")][..], Some("a")),
            (&[("authorization", "bEARER a")], Some("a")),
            (&[("authorization", ""), ("apikey", "b")], Some("b")),
            (&[("authorization", "Basic a"), ("apikey", "b")], Some("b")),
            (&[("apikey", "b")], Some("b")),
            (&[("authorization", "Bearer  a"), ("apikey", "b")], None),
            (&[("authorization", "Bearer"), ("apikey", "b")], None),
            (&[("authorization", "Basic a")], None),
            (&[("x-api-key", "b")], None),
            (&[], None),
        ] {
            assert_eq!(credential_of(headers).as_deref(), token, "{headers:?}");
        }
    }
}
