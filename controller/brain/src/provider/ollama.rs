//! Ollama's chat API: one JSON object a line. Owns the request and the meaning of each line. Pure. The schema
//! goes into `format`, which the server turns into a grammar; older ones know only `"json"` there. It has no `tool_choice`.

use serde::Serialize;

use super::address::Api;
use super::node::Node;
use super::reading::{Dialect, Trouble};
use super::refused::{Json, Offer};
use super::said::{Said, reason};
use super::server::Speech;
use super::stream::Progress;
use super::{Again, Request, Sink};
use crate::answer::schema::Schema;
use crate::prompt::Message;

/// What it understands.
#[derive(Debug)]
pub(crate) struct Ollama;

impl Speech for Ollama {
    const API: Api = Api::Ollama;
    const OFFER: Offer = Offer::OLLAMA;
    type Body<'a> = Body<'a>;
    type Dialect = Lines;

    fn body(request: Request<'_>, offer: Offer) -> Body<'_> {
        Body::new(request, offer)
    }
}

/// The context window to request. The server's default is small, and what does not fit it drops without a word. Three
/// bytes a token is more than English or logs need; full thousands keep the model from being reloaded each time.
fn context(prompt_bytes: usize, max_tokens: u32) -> u32 {
    let prompt = u32::try_from(prompt_bytes / 3).unwrap_or(u32::MAX);
    let needed = prompt.saturating_add(max_tokens).saturating_add(256);
    needed.div_ceil(4096).saturating_mul(4096)
}

#[derive(Serialize)]
pub(crate) struct Body<'a> {
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
#[derive(Debug, Default)]
pub(crate) struct Lines;

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
