//! Ollama's chat API: one JSON object a line. Owns the request and the meaning of each line; does I/O through
//! [`Endpoint`]. The schema goes into `format`, which the server turns into a grammar; older ones know only `"json"` there.
//! It has no `tool_choice`.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;

use super::address::Api;
use super::config::{ConfigError, ProviderConfig};
use super::http::Endpoint;
use super::node::Node;
use super::question;
use super::reading::{Dialect, Reading, Trouble};
use super::refused::{Json, Learned, Offer};
use super::said::{Said, reason};
use super::stream::{Progress, read};
use super::{Again, Completion, Provider, ProviderError, Request, Sink};
use crate::answer::schema::Schema;
use crate::prompt::Message;

/// A server and a model on it.
#[derive(Debug)]
pub(crate) struct Ollama {
    name: String,
    model: String,
    prompt_chars: usize,
    endpoint: Endpoint,
    learned: Learned,
}

impl Ollama {
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            name: config.name.clone(),
            model: config.model.clone(),
            prompt_chars: config.prompt_chars,
            endpoint: Endpoint::new(config, Api::Ollama)?,
            learned: Learned::starting(Offer::OLLAMA),
        })
    }

    async fn ask(&self, request: Request<'_>, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        let timers = self.endpoint.timers(request.deadline);
        let body = |offer| Body::new(request, offer);
        let (response, notes) =
            question::post(&self.endpoint, &self.learned, &self.name, request, &timers, body).await?;
        let harmless = |text: &str| self.endpoint.harmless(text);
        let answer = Reading::new(request, &harmless, Lines);
        let completion = read(self.endpoint.body(response)?, answer, timers, sink).await?;
        Ok(Completion { notes, ..completion })
    }
}

/// The context window to request. The server's default is small, and what does not fit it drops without a word. Three
/// bytes a token is more than English or logs need; full thousands keep the model from being reloaded each time.
fn context(prompt_bytes: usize, max_tokens: u32) -> u32 {
    let prompt = u32::try_from(prompt_bytes / 3).unwrap_or(u32::MAX);
    let needed = prompt.saturating_add(max_tokens).saturating_add(256);
    needed.div_ceil(4096).saturating_mul(4096)
}

impl Provider for Ollama {
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
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<bool>,
    options: Options,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Schema(&'a Schema),
    Json(&'static str),
}

#[derive(Serialize)]
struct Options {
    temperature: u8,
    num_predict: u32,
    num_ctx: u32,
}

impl<'a> Body<'a> {
    fn new(request: Request<'a>, offer: Offer) -> Self {
        let format = if request.again == Again::Silent {
            // It may have held the thoughts to the schema, and stopped the model there.
            None
        } else if offer.schema {
            Some(Format::Schema(request.schema))
        } else {
            (offer.json == Json::Now).then_some(Format::Json("json"))
        };
        Self {
            model: request.model,
            messages: request.prompt.messages(),
            stream: true,
            format,
            // Only a model that was seen to think itself out of its allowance is asked not to: others need it.
            think: (offer.think && request.again != Again::No).then_some(false),
            options: Options {
                temperature: 0,
                num_predict: request.max_tokens,
                num_ctx: context(request.prompt.bytes(), request.max_tokens),
            },
        }
    }
}

/// The lines of an answer.
pub(super) struct Lines;

impl Dialect for Lines {
    fn document(&mut self, line: &Node, said: &mut Said<'_>, sink: Sink<'_>) -> Result<Progress, Trouble> {
        if line.has("message") || line.has("done") {
            said.recognised();
        }
        let mut spoke = false;
        if let Some(message) = line.get("message") {
            if message.contradicts("content") {
                return Err(Trouble::Odd("content is given twice, with two texts,".to_owned()));
            }
            let mut words = message.get("content").map(Node::words).unwrap_or_default();
            if let Some(thought) = message.first(&["thinking", "reasoning", "reasoning_content"]) {
                words.think(thought);
            }
            spoke |= said.words(&words, sink)?;
            let calls = message.get("tool_calls").map(Node::items).unwrap_or_default();
            for (at, call) in (0_u64..).zip(calls) {
                spoke |= said.tool(at, call.get("function").unwrap_or(call))?;
            }
        }
        said.counted(line, &["prompt_eval_count"], &["eval_count"]);
        if line.get("done") == Some(&Node::Bool(true)) {
            said.finished(reason(line, &["done_reason"]));
            return Ok(Progress::Ended);
        }
        Ok(if spoke { Progress::Spoke } else { Progress::Quiet })
    }
}
