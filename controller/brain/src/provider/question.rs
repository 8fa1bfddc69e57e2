//! Sends a question with everything that the model is not known to refuse, and where its server refuses it, without what
//! it refuses. Does I/O through [`Endpoint`].

use reqwest::Response;
use serde::Serialize;

use super::http::Endpoint;
use super::refused::{Learned, Offer};
use super::stream::Timers;
use super::{ProviderError, Request};

/// The head of the answer, and what was newly learned on the way, in words for the incident.
pub(super) async fn post<B: Serialize>(
    endpoint: &Endpoint,
    learned: &Learned,
    provider: &str,
    request: Request<'_>,
    timers: &Timers,
    body: impl Fn(Offer) -> B,
) -> Result<(Response, Vec<String>), ProviderError> {
    let mut tries = learned.tries(request.model);
    loop {
        let refusal = match endpoint.post(&body(tries.offer()), timers).await {
            Ok(response) => {
                let refused = learned.keep(request.model, &tries);
                if let Some(refused) = &refused {
                    tracing::warn!(
                        provider,
                        model = request.model,
                        "the model's server refuses {refused}: from now on this model is asked without",
                    );
                }
                let note = |refused| {
                    format!("its server refuses {refused}: it was asked without, and will be from now on")
                };
                return Ok((response, refused.map(note).into_iter().collect()));
            }
            Err(error) => error,
        };
        let ProviderError::Status { code, message, .. } = &refusal else {
            return Err(refusal);
        };
        if !tries.refused(*code, message) {
            return Err(refusal);
        }
    }
}
