//! Traces over OTLP/HTTP: one an incident, sent when it has ended. Does I/O; what a trace holds is `otlp/spans.rs`.
//! <https://opentelemetry.io/docs/specs/otlp/>

mod spans;

use aegis_api::Incident;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::{self, ConfigError};
use crate::posted::Posted;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// A collector of traces.
pub struct Otlp {
    client: Client,
    url: String,
    headers: HeaderMap,
    service: String,
}

impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otlp")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Otlp {
    /// `endpoint` is the collector's address, below which `/v1/traces` is; `headers` are `name=value` pairs separated by
    /// commas, as `OTEL_EXPORTER_OTLP_HEADERS` has them. Does not connect yet.
    ///
    /// # Errors
    ///
    /// Which setting is wrong.
    pub fn new(endpoint: &str, headers: Option<&SecretString>, service: &str) -> Result<Self, ConfigError> {
        let endpoint = endpoint.trim().trim_end_matches('/');
        client::address(ENDPOINT, endpoint)?;
        let url = match endpoint.ends_with("/v1/traces") {
            true => endpoint.to_owned(),
            false => format!("{endpoint}/v1/traces"),
        };
        let service = match service.trim() {
            "" => "aegisops",
            service => service,
        };
        Ok(Self {
            client: client::client()?,
            url,
            headers: headers.map_or_else(|| Ok(HeaderMap::new()), parse)?,
            service: service.to_owned(),
        })
    }

    /// The trace of an incident.
    pub(crate) fn render(&self, incident: &Incident) -> Bytes {
        spans::trace(incident, &self.service).encode_to_vec().into()
    }

    /// A trace of nothing, as a test.
    pub(crate) fn nothing(&self) -> Bytes {
        spans::nothing(&self.service).encode_to_vec().into()
    }

    pub(crate) async fn send(&self, trace: &Bytes) -> Posted {
        let request = self
            .client
            .post(&self.url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(trace.clone());
        let answer = match client::send(request).await {
            Ok(answer) => answer,
            Err(later) => return later,
        };
        let posted = answer.judge();
        if !posted.is_taken() {
            return posted;
        }
        let said = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap_or_default();
        match said.partial_success {
            Some(partial) if partial.rejected_spans > 0 => Posted::BodyRefused {
                why: client::said(&format!(
                    "{} spans rejected: {}",
                    partial.rejected_spans, partial.error_message
                )),
            },
            _ => posted,
        }
    }
}

fn parse(headers: &SecretString) -> Result<HeaderMap, ConfigError> {
    let wrong = || ConfigError::Setting {
        name: HEADERS,
        why: "use name=value pairs, separated by commas".to_owned(),
    };
    let mut parsed = HeaderMap::new();
    let pairs = headers.expose_secret().split(',').map(str::trim);
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        parsed.insert(name, value);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
