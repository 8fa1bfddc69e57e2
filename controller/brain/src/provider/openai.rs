//! Any server that speaks OpenAI's chat completions. Owns the request and the meaning of each document of the answer.
//! Pure. Servers differ in what they accept beside the messages (see [`refused`](super::refused)) and in
//! how they write an answer: what decides nothing is read in every spelling that is known.

use serde::Serialize;

use super::address::Api;
use super::node::Node;
use super::reading::{Dialect, Trouble};
use super::refused::{Limit, Offer};
use super::said::{Said, reason};
use super::server::Speech;
use super::stream::Progress;
use super::{Again, Request, Sink};
use crate::answer::schema::Schema;
use crate::prompt::Message;

/// What it understands.
#[derive(Debug)]
pub(crate) struct OpenAi;

impl Speech for OpenAi {
    const API: Api = Api::ChatCompletions;
    const OFFER: Offer = Offer::DEFAULT;
    type Body<'a> = Body<'a>;
    type Dialect = ChatCompletions;

    fn body(request: Request<'_>, offer: Offer) -> Body<'_> {
        Body::new(request, offer)
    }
}

#[derive(Serialize)]
pub(crate) struct Body<'a> {
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
        // A server that held the thoughts to the schema, and stopped the model there, is asked without one.
        let schema = offer.schema && request.again != Again::Silent;
        Self {
            model: request.model,
            messages: request.prompt.messages(),
            stream: true,
            stream_options: offer.usage.then_some(StreamOptions { include_usage: true }),
            temperature: offer.temperature.then_some(0),
            max_tokens: limit(Limit::MaxTokens),
            max_completion_tokens: limit(Limit::MaxCompletionTokens),
            response_format: schema.then_some(ResponseFormat {
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

/// What a model thinks, under the names that servers give it. Gateways send several of them with one text.
const THOUGHT: [&str; 5] = [
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_text",
    "reasoning_details",
];

/// The documents of an answer: an event each, or the whole of it.
#[derive(Debug, Default)]
pub(crate) struct ChatCompletions;

impl Dialect for ChatCompletions {
    fn document(&mut self, node: &Node, said: &mut Said<'_>, sink: Sink<'_>) -> Result<Progress, Trouble> {
        if let Some(counts) = node.get("usage") {
            let (prompt, completion) = (
                ["prompt_tokens", "input_tokens"],
                ["completion_tokens", "output_tokens"],
            );
            said.counted(counts, &prompt, &completion);
        }
        if node.has("choices") || node.has("message") {
            said.recognised();
        }
        let choices = node.get("choices").map(Node::items).unwrap_or_default();
        // Only one was requested: of several the first one counts, by number where they have one.
        let number = |choice: &Node| choice.get("index").and_then(Node::count).unwrap_or(0);
        let chosen = match choices {
            [only] if only.get("message").is_some() && only.get("delta").is_none() => Some(only),
            several => several.iter().find(|choice| number(choice) == 0),
        };
        match chosen {
            Some(chosen) if chosen.is_map() => choice(chosen, said, sink),
            Some(_) => Err(Trouble::Odd("no choice".to_owned())),
            None if node.get("message").is_some_and(Node::is_map) => choice(node, said, sink),
            None => Ok(Progress::Quiet),
        }
    }
}

fn choice(choice: &Node, said: &mut Said<'_>, sink: Sink<'_>) -> Result<Progress, Trouble> {
    let (delta, message) = (choice.get("delta"), choice.get("message"));
    // A server that repeats what was said so far beside each piece is read by its pieces, and where a piece is empty by
    // what the repetition has more.
    let has_words = |node: &Node| node.has("tool_calls") || !node.words_of().text.is_empty();
    let source = match (delta, message) {
        (Some(delta), Some(message)) if !has_words(delta) => {
            let more = message
                .words_of()
                .text
                .strip_prefix(said.text())
                .is_some_and(|more| !more.is_empty());
            if more { message } else { delta }
        }
        _ => delta.or(message).unwrap_or(choice),
    };
    if source.contradicts("content") {
        return Err(Trouble::Odd("content is given twice, with two texts,".to_owned()));
    }
    let mut words = source.words_of();
    if let Some(thought) = source.first(&THOUGHT) {
        words.think(thought);
    }
    if let Some(refusal) = source.get("refusal").and_then(Node::text) {
        words.refusal.push_str(refusal);
    }
    if message.is_some_and(|message| std::ptr::eq(message, source)) && !said.text().is_empty() {
        // Whole messages in a stream, each with all that was said before.
        let more = words.text.strip_prefix(said.text()).map(str::to_owned);
        words.text = more.unwrap_or(words.text);
    }
    let mut spoke = said.words(&words, sink)?;
    let calls = source.first(&["tool_calls", "function_call"]).map(Node::items);
    for (at, call) in (0_u64..).zip(calls.unwrap_or_default()) {
        let at = call.get("index").and_then(Node::count).unwrap_or(at);
        spoke |= said.tool(at, call.get("function").unwrap_or(call))?;
    }
    let reasons = ["finish_reason", "finish_details", "stop_reason", "done_reason"];
    said.finished(reason(choice, &reasons));
    Ok(if spoke { Progress::Spoke } else { Progress::Quiet })
}
