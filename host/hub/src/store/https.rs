//! HTTP of the S3 client: one TLS for the whole program, and the authorities that the machine
//! knows.

use std::time::Duration;

use async_trait::async_trait;
use fedwasm_transport::{Cause, tls};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Request};
use rustls::{ClientConfig, RootCertStore};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long nothing may come from the store, and the longest that a part of an upload may take.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Connects to S3.
#[derive(Clone, Debug)]
pub(super) struct Https(Client);

impl Https {
    pub(super) fn new() -> Result<Self, Cause> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(tls::provider());
        let config = config.with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIME_MAX)
            .read_timeout(SILENCE_MAX)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self(client))
    }
}

impl HttpConnector for Https {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Https {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = Request::try_from(request.map(Body::wrap)).map_err(failed)?;
        let response = self.0.execute(request).await.map_err(failed)?;
        let response: axum::http::Response<Body> = response.into();
        Ok(response.map(|body| HttpResponseBody::new(body.map_err(failed))))
    }
}

/// The error in the words of the S3 client, which tries all but wrong bytes again where a request
/// may be sent twice.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = match () {
        () if error.is_connect() => HttpErrorKind::Connect,
        () if error.is_timeout() => HttpErrorKind::Timeout,
        () if error.is_decode() || error.is_builder() => HttpErrorKind::Decode,
        () => HttpErrorKind::Interrupted,
    };
    // The address is told by the S3 client.
    HttpError::new(kind, error.without_url())
}
