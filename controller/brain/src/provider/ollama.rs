//! Ollama's chat API: one JSON object a line. Owns the request and the meaning of each line; does I/O through
//! [`Endpoint`]. The schema goes into `format`, which the server turns into a grammar; it has no `tool_choice`.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::config::{ConfigError, ProviderConfig};
use super::http::Endpoint;
use super::lines::{Lines, TooLong};
use super::measure::Measure;
use super::stream::{LONGEST_LINE, Progress, Protocol, read};
use super::{Completion, Delta, Provider, ProviderError, Request, Sink, Usage};
use crate::answer::schema::Schema;
use crate::prompt::Message;

/// A server and a model on it.
#[derive(Debug)]
pub(crate) struct Ollama {
    name: String,
    model: String,
    prompt_chars: usize,
    endpoint: Endpoint,
}

impl Ollama {
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            name: config.name.clone(),
            model: config.model.clone(),
            prompt_chars: config.prompt_chars,
            endpoint: Endpoint::new(config, "/api/chat")?,
        })
    }

    async fn ask(&self, request: Request<'_>, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        let timers = self.endpoint.timers(request.deadline);
        let body = Body {
            model: request.model,
            messages: request.prompt.messages(),
            stream: true,
            format: request.schema,
            options: Options {
                temperature: 0,
                num_predict: request.max_tokens,
                num_ctx: context(request.prompt.bytes(), request.max_tokens),
            },
        };
        let response = self.endpoint.post(&body, &timers).await?;
        let answer = Answer {
            endpoint: &self.endpoint,
            lines: Lines::new(LONGEST_LINE),
            text: String::new(),
            finish: None,
            usage: Usage::default(),
            measure: Measure::of(request.max_tokens),
            request,
        };
        read(self.endpoint.body(response), answer, timers, sink).await
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
    format: &'a Schema,
    options: Options,
}

#[derive(Serialize)]
struct Options {
    temperature: u8,
    num_predict: u32,
    num_ctx: u32,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: Option<Words>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: u64,
    #[serde(default)]
    eval_count: u64,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct Words {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
}

struct Answer<'a> {
    endpoint: &'a Endpoint,
    lines: Lines,
    text: String,
    finish: Option<String>,
    usage: Usage,
    measure: Measure,
    request: Request<'a>,
}

impl Answer<'_> {
    fn line(&mut self, line: &[u8], sink: Sink<'_>) -> Result<Progress, ProviderError> {
        if line.trim_ascii().is_empty() {
            return Ok(Progress::Quiet);
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            let quoted = String::from_utf8_lossy(line);
            ProviderError::Garbage(self.endpoint.harmless(&format!("{error} in {quoted}")))
        })?;
        if let Some(why) = line.error {
            return Err(ProviderError::Stream(self.endpoint.harmless(&why)));
        }
        let words = line.message.unwrap_or_default();
        // Before any of it is shown or kept.
        for words in [&words.thinking, &words.content].into_iter().flatten() {
            self.measure.add(words.len())?;
        }
        let mut progress = Progress::Quiet;
        for thought in words.thinking.iter().filter(|words| !words.is_empty()) {
            sink(Delta::Thought(thought));
            progress = Progress::Spoke;
        }
        for text in words.content.iter().filter(|words| !words.is_empty()) {
            self.text.push_str(text);
            sink(Delta::Text(text));
            progress = Progress::Spoke;
        }
        if line.done {
            self.finish = Some(line.done_reason.unwrap_or_default());
            self.usage = Usage {
                prompt: line.prompt_eval_count,
                completion: line.eval_count,
            };
            return Ok(Progress::Ended);
        }
        Ok(progress)
    }
}

impl Protocol for Answer<'_> {
    fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<Progress, ProviderError> {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        self.lines
            .push(bytes, |line| lines.push(line.to_vec()))
            .map_err(|TooLong(most)| ProviderError::TooLong(most))?;
        let mut progress = Progress::Quiet;
        for line in lines {
            match self.line(&line, &mut *sink)? {
                Progress::Quiet => {}
                Progress::Spoke => progress = Progress::Spoke,
                Progress::Ended => return Ok(Progress::Ended),
            }
        }
        Ok(progress)
    }

    fn is_complete(&self) -> bool {
        self.finish.is_some()
    }

    fn finish(mut self, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        if self.finish.is_none() {
            // The last line may lack its end.
            let rest = self.lines.rest().to_vec();
            self.line(&rest, sink)?;
        }
        match self.finish.as_deref() {
            None => return Err(ProviderError::Stream("it has no end".to_owned())),
            Some("length") => return Err(ProviderError::CutOff(self.request.max_tokens)),
            Some("load") => {
                return Err(ProviderError::Stream(
                    "the model was loaded, and said nothing".to_owned(),
                ));
            }
            Some(_) => {}
        }
        let usage = if self.usage == Usage::default() {
            Usage::estimate(self.request.prompt.bytes(), self.text.len())
        } else {
            self.usage
        };
        Ok(Completion {
            text: self.text,
            usage,
        })
    }
}
