//! Any server that speaks OpenAI's chat completions. Owns the request and the meaning of each event of the answer; does
//! I/O through [`Endpoint`]. Servers differ in what they accept beside the messages: see [`refused`](super::refused).

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use super::config::{ConfigError, ProviderConfig};
use super::http::{Endpoint, error_text};
use super::lines::TooLong;
use super::measure::Measure;
use super::refused::{Learned, Limit, Offer};
use super::sse::{Event, Events};
use super::stream::{LONGEST_LINE, Progress, Protocol, Timers, read};
use super::{Completion, Delta, Provider, ProviderError, Request, Sink, Usage};
use crate::answer::schema::Schema;
use crate::prompt::Message;

/// A server and a model on it.
#[derive(Debug)]
pub(crate) struct OpenAi {
    name: String,
    model: String,
    prompt_chars: usize,
    endpoint: Endpoint,
    learned: Learned,
}

impl OpenAi {
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            name: config.name.clone(),
            model: config.model.clone(),
            prompt_chars: config.prompt_chars,
            endpoint: Endpoint::new(config, "/chat/completions")?,
            learned: Learned::default(),
        })
    }

    /// Sends the question with everything that the model is not known to refuse; where the server refuses it, without what
    /// it refuses.
    async fn post(&self, request: Request<'_>, timers: &Timers) -> Result<Response, ProviderError> {
        let mut tries = self.learned.tries(request.model);
        loop {
            let body = Body::new(request, tries.offer());
            let refusal = match self.endpoint.post(&body, timers).await {
                Ok(response) => {
                    if let Some(refused) = self.learned.keep(request.model, &tries) {
                        tracing::warn!(
                            provider = self.name,
                            model = request.model,
                            "the model's server refuses {refused}: from now on this model is asked without",
                        );
                    }
                    return Ok(response);
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

    async fn ask(&self, request: Request<'_>, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        let timers = self.endpoint.timers(request.deadline);
        let response = self.post(request, &timers).await?;
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        // Some servers do not stream, whatever they are asked.
        let whole = kind.is_some_and(|kind| kind.trim_start().starts_with("application/json"));
        let answer = Answer {
            endpoint: &self.endpoint,
            events: Events::new(LONGEST_LINE),
            whole: whole.then(Vec::new),
            text: String::new(),
            refusal: String::new(),
            finish: None,
            done: false,
            usage: None,
            measure: Measure::of(request.max_tokens),
            request,
        };
        read(self.endpoint.body(response), answer, timers, sink).await
    }
}

impl Provider for OpenAi {
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

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    strict: bool,
    schema: &'a Schema,
}

impl<'a> Body<'a> {
    fn new(request: Request<'a>, offer: Offer) -> Self {
        let limit = |by| (offer.limit == by).then_some(request.max_tokens);
        Self {
            model: request.model,
            messages: request.prompt.messages(),
            stream: true,
            stream_options: offer.usage.then_some(StreamOptions { include_usage: true }),
            temperature: offer.temperature.then_some(0),
            max_tokens: limit(Limit::MaxTokens),
            max_completion_tokens: limit(Limit::MaxCompletionTokens),
            response_format: offer.schema.then_some(ResponseFormat {
                r#type: "json_schema",
                json_schema: JsonSchema {
                    name: request.schema.name,
                    strict: true,
                    schema: request.schema,
                },
            }),
        }
    }
}

/// One event, or the whole answer of a server that does not stream.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "message")]
    delta: Option<Words>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Words {
    #[serde(default)]
    content: Option<String>,
    #[serde(default, alias = "reasoning_content")]
    reasoning: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

struct Answer<'a> {
    endpoint: &'a Endpoint,
    events: Events,
    whole: Option<Vec<u8>>,
    text: String,
    refusal: String,
    finish: Option<String>,
    done: bool,
    usage: Option<Usage>,
    measure: Measure,
    request: Request<'a>,
}

impl Answer<'_> {
    fn event(&mut self, event: &Event, sink: Sink<'_>) -> Result<Progress, ProviderError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(Progress::Ended);
        }
        if data.is_empty() {
            return Ok(Progress::Quiet);
        }
        if event.kind == "error" {
            let why = error_text(data.as_bytes()).unwrap_or_else(|| data.to_owned());
            return Err(ProviderError::Stream(self.endpoint.harmless(&why)));
        }
        self.chunk(data.as_bytes(), sink)
    }

    fn chunk(&mut self, json: &[u8], sink: Sink<'_>) -> Result<Progress, ProviderError> {
        let chunk: Chunk = serde_json::from_slice(json).map_err(|error| {
            let quoted = String::from_utf8_lossy(json);
            ProviderError::Garbage(self.endpoint.harmless(&format!("{error} in {quoted}")))
        })?;
        if chunk.error.as_ref().is_some_and(|error| !error.is_null()) {
            let why = error_text(json).unwrap_or_else(|| String::from_utf8_lossy(json).into_owned());
            return Err(ProviderError::Stream(self.endpoint.harmless(&why)));
        }
        if let Some(counts) = chunk.usage {
            self.usage = Some(Usage {
                prompt: counts.prompt_tokens,
                completion: counts.completion_tokens,
            });
        }
        // Only one choice was requested.
        let Some(choice) = chunk.choices.into_iter().flatten().next() else {
            return Ok(Progress::Quiet);
        };
        let words = choice.delta.unwrap_or_default();
        let mut spoke = false;
        // Before any of it is shown or kept.
        let said = [&words.reasoning, &words.content, &words.refusal];
        for words in said.into_iter().flatten() {
            self.measure.add(words.len())?;
        }
        for thought in words.reasoning.iter().filter(|words| !words.is_empty()) {
            sink(Delta::Thought(thought));
            spoke = true;
        }
        for text in words.content.iter().filter(|words| !words.is_empty()) {
            self.text.push_str(text);
            sink(Delta::Text(text));
            spoke = true;
        }
        self.refusal
            .push_str(words.refusal.as_deref().unwrap_or_default());
        self.finish = choice.finish_reason.or(self.finish.take());
        Ok(if spoke { Progress::Spoke } else { Progress::Quiet })
    }
}

impl Protocol for Answer<'_> {
    fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<Progress, ProviderError> {
        if let Some(whole) = &mut self.whole {
            self.measure.whole(whole.len().saturating_add(bytes.len()))?;
            whole.extend_from_slice(bytes);
            return Ok(Progress::Spoke);
        }
        let events = self
            .events
            .push(bytes)
            .map_err(|TooLong(most)| ProviderError::TooLong(most))?;
        let mut progress = Progress::Quiet;
        for event in events {
            match self.event(&event, &mut *sink)? {
                Progress::Quiet => {}
                Progress::Spoke => progress = Progress::Spoke,
                Progress::Ended => return Ok(Progress::Ended),
            }
        }
        Ok(progress)
    }

    fn is_complete(&self) -> bool {
        self.done || self.finish.is_some()
    }

    fn finish(mut self, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        if let Some(whole) = self.whole.take() {
            self.chunk(&whole, sink)?;
            self.done = true;
        }
        if !self.refusal.is_empty() {
            return Err(ProviderError::Refused(self.endpoint.harmless(&self.refusal)));
        }
        match self.finish.as_deref() {
            Some("length") => return Err(ProviderError::CutOff(self.request.max_tokens)),
            Some(reason @ ("content_filter" | "error")) => {
                return Err(ProviderError::Refused(format!("it ended with {reason}")));
            }
            None if !self.done => return Err(ProviderError::Stream("it has no end".to_owned())),
            _ => {}
        }
        let usage = self
            .usage
            .unwrap_or_else(|| Usage::estimate(self.request.prompt.bytes(), self.text.len()));
        Ok(Completion {
            text: self.text,
            usage,
        })
    }
}
