//! Anthropic's messages API. Owns the request and the meaning of each event of the answer. Pure.
//! The rules for the model go beside the messages, in `system`; what an answer may be is said in words, as there is no
//! schema for it that would let the model think first.

use std::collections::BTreeSet;

use serde::Serialize;

use super::address::Api;
use super::node::{Node, Words};
use super::reading::{Dialect, Trouble};
use super::refused::Offer;
use super::said::{Said, reason};
use super::server::Speech;
use super::stream::Progress;
use super::{ProviderError, Request, Sink};
use crate::prompt::{Message, Role};

/// What it understands.
#[derive(Debug)]
pub(crate) struct Anthropic;

impl Speech for Anthropic {
    const API: Api = Api::Messages;
    const OFFER: Offer = Offer::ANTHROPIC;
    type Body<'a> = Body<'a>;
    type Dialect = Blocks;

    fn body(request: Request<'_>, offer: Offer) -> Body<'_> {
        Body::new(request, offer)
    }
}

#[derive(Serialize)]
pub(crate) struct Body<'a> {
    model: &'a str,
    system: String,
    messages: Vec<&'a Message>,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<u8>,
}

impl<'a> Body<'a> {
    fn new(request: Request<'a>, offer: Offer) -> Self {
        let all = request.prompt.messages();
        let rules = all.iter().filter(|message| message.role == Role::System);
        let rules: Vec<&str> = rules.map(|message| message.content.as_str()).collect();
        Self {
            model: request.model,
            system: rules.join("\n\n"),
            messages: all
                .iter()
                .filter(|message| message.role != Role::System)
                .collect(),
            max_tokens: request.max_tokens,
            stream: true,
            temperature: offer.temperature.then_some(0),
        }
    }
}

/// The events of an answer, which comes in numbered blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Those that call a tool.
    tools: BTreeSet<u64>,
}

impl Dialect for Blocks {
    fn document(&mut self, node: &Node, said: &mut Said<'_>, sink: Sink<'_>) -> Result<Progress, Trouble> {
        let of_message = node.get("message").and_then(|message| message.get("usage"));
        for counts in [node.get("usage"), of_message].into_iter().flatten() {
            said.counted(counts, &["input_tokens"], &["output_tokens"]);
        }
        if node.has("type") {
            said.recognised();
        }
        let number = node.get("index").and_then(Node::count).unwrap_or(0);
        let mut spoke = false;
        // The type of the document tells; the event's name only repeats it, and some gateways drop it.
        match node.get("type").and_then(Node::text).unwrap_or_default() {
            "message_stop" => return Ok(Progress::Ended),
            "content_block_start" => {
                if let Some(block) = node.get("content_block") {
                    spoke |= self.block(number, block, said, sink)?;
                }
            }
            "content_block_delta" => {
                let delta = node.get("delta");
                if let Some(words) = delta.map(delta_words) {
                    spoke |= said.words(&words, sink)?;
                }
                let piece = delta
                    .and_then(|delta| delta.get("partial_json"))
                    .and_then(Node::text);
                if let Some(piece) = piece.filter(|_| self.tools.contains(&number)) {
                    spoke |= said.call(number, "", piece)?;
                }
            }
            "message_delta" => said.finished(reason(node.get("delta").unwrap_or(node), &["stop_reason"])),
            // The whole message, from a server that does not stream.
            "message" => {
                let blocks = node.get("content").map(Node::items).unwrap_or_default();
                for (at, block) in (0_u64..).zip(blocks) {
                    self.block(at, block, said, &mut *sink)?;
                }
                said.finished(reason(node, &["stop_reason"]));
                return Ok(Progress::Ended);
            }
            _ => {}
        }
        Ok(if spoke { Progress::Spoke } else { Progress::Quiet })
    }
}

impl Blocks {
    /// A block of content, or the beginning of one.
    fn block(
        &mut self,
        number: u64,
        block: &Node,
        said: &mut Said<'_>,
        sink: Sink<'_>,
    ) -> Result<bool, ProviderError> {
        if block.get("type").and_then(Node::text) != Some("tool_use") {
            let mut words = Words::default();
            words.add(block);
            return said.words(&words, sink);
        }
        self.tools.insert(number);
        said.tool(number, block)
    }
}

fn delta_words(delta: &Node) -> Words {
    let said = |name: &str| {
        delta
            .get(name)
            .and_then(Node::text)
            .unwrap_or_default()
            .to_owned()
    };
    Words {
        text: said("text"),
        thought: said("thinking"),
        refusal: String::new(),
    }
}
