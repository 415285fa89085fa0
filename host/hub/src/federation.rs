//! `/federation`: its id, its roster, and enrolment on this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fedwasm_protocol::Role;
use fedwasm_transport::{ENROLMENT_BYTES_MAX, Enrolment};

use crate::refusal::Refusal;
use crate::state::RepositoryState;

/// How long a request of a few bytes may take.
const SMALL_BODY_TIME_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn get_id(State(repository): State<Arc<RepositoryState>>) -> String {
    repository.authority.federation().to_string()
}

pub(crate) async fn get_roster(
    State(repository): State<Arc<RepositoryState>>,
) -> Result<Response, Refusal> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match repository.authority.signed_roster() {
        Ok(roster) => Ok((json, roster).into_response()),
        Err(error) => {
            tracing::error!("the roster cannot be read: {error}");
            Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the roster cannot be read".into()))
        }
    }
}

/// Reads a body of at most so many bytes.
pub(crate) async fn small_body(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let body = axum::body::to_bytes(body, bytes_max);
    let body = tokio::time::timeout(SMALL_BODY_TIME_MAX, body).await;
    let body = body.map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "silence".into()))?;
    body.map_err(|_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "too large".into()))
}

/// Enrols any participant, on this machine alone.
pub(crate) async fn enrol(
    State(repository): State<Arc<RepositoryState>>,
    body: Body,
) -> Result<Response, Refusal> {
    if repository.authority.has_tls() {
        let text = "this federation accepts only participants that its authority enrols: `fedwasm \
                    network enrol`";
        return Err(Refusal(StatusCode::FORBIDDEN, text.into()));
    }
    let body = small_body(body, ENROLMENT_BYTES_MAX).await?;
    let bad = |error: &dyn std::fmt::Display| Refusal(StatusCode::BAD_REQUEST, error.to_string());
    let Enrolment { participant, key, .. } = Enrolment::verify(&body).map_err(|e| bad(&e))?;
    if !matches!(participant.role, Role::Node | Role::Researcher) {
        return Err(bad(&"only nodes and researchers enrol here"));
    }
    let (authority, who) = (Arc::clone(&repository.authority), participant.clone());
    let enrolled = tokio::task::spawn_blocking(move || authority.enrol(&who, &key)).await;
    let membership = match enrolled {
        Ok(Ok(membership)) => membership,
        Ok(Err(error @ fedwasm_trust::Error::Taken { .. })) => {
            return Err(Refusal(StatusCode::CONFLICT, error.to_string()));
        }
        Ok(Err(error)) => return Err(bad(&error)),
        Err(error) => return Err(bad(&error)),
    };
    tracing::info!("{participant} is on the roster");
    let json = serde_json::to_vec(&membership).map_err(|error| bad(&error))?;
    Ok((StatusCode::CREATED, json).into_response())
}
