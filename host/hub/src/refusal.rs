//! Why a request is not answered as asked.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

pub(crate) const NO_BLOB: &str = "the blob does not exist, or is not for this participant";

/// Why a request is not answered as asked.
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<object_store::Error> for Refusal {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self(StatusCode::NOT_FOUND, NO_BLOB.into()),
            error @ object_store::Error::Generic { store: "S3", .. } => {
                tracing::error!("blob store: {error}");
                // Clients try again.
                Self(StatusCode::SERVICE_UNAVAILABLE, "its store does not answer".into())
            }
            error @ (object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. }) => {
                tracing::error!("blob store: {error}");
                let text = "its store refuses the repository's credentials";
                Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
            }
            error => {
                tracing::error!("blob store: {error}");
                let text = match io_kind(&error) {
                    Some(std::io::ErrorKind::StorageFull) => "no space is left on its disk",
                    Some(std::io::ErrorKind::QuotaExceeded) => "its disk quota is used up",
                    Some(std::io::ErrorKind::ReadOnlyFilesystem) => {
                        let text = "its disk is read-only";
                        return Self(StatusCode::INTERNAL_SERVER_ERROR, text.into());
                    }
                    _ => {
                        let text = "the blob store failed";
                        return Self(StatusCode::INTERNAL_SERVER_ERROR, text.into());
                    }
                };
                Self(StatusCode::INSUFFICIENT_STORAGE, text.into())
            }
        }
    }
}

/// The operating system's error, below the store's.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_name() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = object_store::Error::Generic { store: "x", source: Box::new(full) };
        let Refusal(status, text) = Refusal::from(error);
        assert_eq!((status.as_u16(), text.as_str()), (507, "no space is left on its disk"));
    }
}
