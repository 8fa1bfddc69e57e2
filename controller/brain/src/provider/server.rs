//! A server of models, whatever it speaks: its names, where it is, and what its models were seen to refuse. What is said to
//! it, and what its answers mean, is a [`Speech`]'s business. Does I/O through [`Endpoint`].

use std::marker::PhantomData;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;

use super::address::Api;
use super::config::{ConfigError, ProviderConfig};
use super::http::Endpoint;
use super::question;
use super::reading::{Dialect, Reading};
use super::refused::{Learned, Offer};
use super::stream::read;
use super::{Completion, Provider, ProviderError, Request, Sink};

/// What one kind of server understands.
pub(crate) trait Speech: std::fmt::Debug + Send + Sync + 'static {
    /// Where it is asked.
    const API: Api;
    /// What its models are asked with at first.
    const OFFER: Offer;
    /// A question.
    type Body<'a>: Serialize + Send + Sync;
    /// What an answer's documents say.
    type Dialect: Dialect + Default + Send;

    /// The question of a request, with what is offered.
    fn body(request: Request<'_>, offer: Offer) -> Self::Body<'_>;
}

/// A server and a model on it.
#[derive(Debug)]
pub(crate) struct Server<S> {
    name: String,
    model: String,
    prompt_chars: usize,
    endpoint: Endpoint,
    learned: Learned,
    speech: PhantomData<S>,
}

impl<S: Speech> Server<S> {
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            name: config.name.clone(),
            model: config.model.clone(),
            prompt_chars: config.prompt_chars,
            endpoint: Endpoint::new(config, S::API)?,
            learned: Learned::starting(S::OFFER),
            speech: PhantomData,
        })
    }

    async fn ask(&self, request: Request<'_>, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        let timers = self.endpoint.timers(request.deadline);
        let body = |offer| S::body(request, offer);
        let (response, notes) =
            question::post(&self.endpoint, &self.learned, &self.name, request, &timers, body).await?;
        let harmless = |text: &str| self.endpoint.harmless(text);
        let answer = Reading::new(request, &harmless, S::Dialect::default());
        let completion = read(self.endpoint.body(response)?, answer, timers, sink).await?;
        Ok(Completion { notes, ..completion })
    }
}

impl<S: Speech> Provider for Server<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn prompt_chars(&self) -> usize {
        self.prompt_chars
    }

    fn complete<'a>(
        &'a self,
        request: Request<'a>,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Completion, ProviderError>> {
        self.ask(request, sink).boxed()
    }
}
