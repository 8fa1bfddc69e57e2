//! What a model has said so far, whatever its server speaks: text, thoughts, refusals, calls of tools, and how it ended.
//! Owns what counts as its answer once it has ended, and why it is none. Pure but for the sink.

use std::collections::BTreeMap;

use super::measure::Measure;
use super::node::{Node, Words};
use super::{Ate, Completion, Delta, ProviderError, Request, Sink, Usage};
use crate::answer;

/// Most calls of tools that are kept; no tool was offered.
const CALLS: usize = 16;
/// How much of a foreign word, such as a reason to end, is quoted.
const QUOTED: usize = 60;

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Said<'a> {
    request: Request<'a>,
    measure: Measure,
    text: String,
    thought: String,
    refusal: String,
    calls: BTreeMap<u64, Call>,
    finish: Option<String>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    thinking_tokens: u64,
    known: bool,
}

#[derive(Debug, Default)]
struct Call {
    name: String,
    arguments: String,
}

/// What a reason to end means.
enum Ending {
    Complete,
    Cut,
    Refused,
    Broken,
}

impl<'a> Said<'a> {
    pub(super) fn new(request: Request<'a>) -> Self {
        Self {
            request,
            measure: Measure::of(request.max_tokens),
            text: String::new(),
            thought: String::new(),
            refusal: String::new(),
            calls: BTreeMap::new(),
            finish: None,
            prompt_tokens: None,
            completion_tokens: None,
            thinking_tokens: 0,
            known: false,
        }
    }

    /// Takes words in and shows them; whether there were any.
    pub(super) fn words(&mut self, words: &Words, sink: Sink<'_>) -> Result<bool, ProviderError> {
        // Before any of it is shown or kept.
        for said in [&words.thought, &words.text, &words.refusal] {
            self.measure.add(said.len())?;
        }
        if !words.thought.is_empty() {
            self.thought.push_str(&words.thought);
            sink(Delta::Thought(&words.thought));
        }
        if !words.text.is_empty() {
            self.text.push_str(&words.text);
            sink(Delta::Text(&words.text));
        }
        self.refusal.push_str(&words.refusal);
        Ok(!(words.thought.is_empty() && words.text.is_empty()))
    }

    /// What was said so far, for servers that repeat it with every piece.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Takes in a piece of a call of a tool; whether it was one.
    pub(super) fn call(&mut self, at: u64, name: &str, arguments: &str) -> Result<bool, ProviderError> {
        self.measure.add(name.len().saturating_add(arguments.len()))?;
        if self.calls.len() >= CALLS && !self.calls.contains_key(&at) {
            return Ok(false);
        }
        let call = self.calls.entry(at).or_default();
        call.name.push_str(name);
        call.arguments.push_str(arguments);
        Ok(!arguments.is_empty())
    }

    /// Takes in a call of a tool, or a piece of one, whose arguments are a text or an object.
    pub(super) fn tool(&mut self, at: u64, function: &Node) -> Result<bool, ProviderError> {
        let name = function.get("name").and_then(Node::text).unwrap_or_default();
        let arguments = match function.first(&["arguments", "parameters", "input"]) {
            Some(Node::Text(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        self.call(at, name, &arguments)
    }

    /// How it ended, by whatever word.
    pub(super) fn finished(&mut self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.finish = Some(reason);
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// A document was one of this protocol's, whether it said something or not.
    pub(super) fn recognised(&mut self) {
        self.known = true;
    }

    /// Whether no document was one of this protocol's.
    pub(super) fn is_foreign(&self) -> bool {
        !self.known
    }

    /// Counts of tokens under any of these names; those that are none are estimated.
    pub(super) fn counted(&mut self, counts: &Node, prompt: &[&str], completion: &[&str]) {
        let count = |names| counts.first(names).and_then(Node::count);
        self.prompt_tokens = count(prompt).or(self.prompt_tokens);
        self.completion_tokens = count(completion).or(self.completion_tokens);
        let details = counts.first(&["completion_tokens_details", "output_tokens_details"]);
        let of_thought = details
            .unwrap_or(counts)
            .get("reasoning_tokens")
            .and_then(Node::count);
        self.thinking_tokens = of_thought.unwrap_or(self.thinking_tokens);
    }

    /// So many bytes of a document wait for its end.
    pub(super) fn waiting(&self, bytes: usize) -> Result<(), ProviderError> {
        self.measure.whole(bytes)
    }

    /// What it comes to. `ended`: the server said that it is over, beside whatever reason it gave.
    pub(super) fn conclude(
        mut self,
        ended: bool,
        harmless: super::reading::Harmless<'_>,
        sink: Sink<'_>,
    ) -> Result<Completion, ProviderError> {
        if !self.refusal.is_empty() {
            return Err(ProviderError::Refused(harmless(&self.refusal)));
        }
        match self.finish.as_deref().map(|reason| (ending(reason), reason)) {
            Some((Ending::Cut, _)) => {
                return Err(ProviderError::CutOff {
                    max_tokens: self.request.max_tokens,
                    ate: self.ate(),
                });
            }
            Some((Ending::Refused, reason)) => {
                return Err(ProviderError::Refused(format!(
                    "it ended with {}",
                    quoted(reason)
                )));
            }
            Some((Ending::Broken, "load")) => {
                let why = "the model was loaded, and said nothing";
                return Err(ProviderError::Stream(why.to_owned()));
            }
            Some((Ending::Broken, reason)) => {
                return Err(ProviderError::Stream(format!("it ended with {}", quoted(reason))));
            }
            Some((Ending::Complete, _)) => {}
            None if ended => {}
            // The last thing it said is the end of the one object that was wanted: nothing more could come.
            None if answer::is_complete(&self.text, self.request.schema) => {}
            None => return Err(ProviderError::Stream("it has no end".to_owned())),
        }
        let schema = self.request.schema;
        let arguments: Vec<&str> = self.calls.values().map(|call| call.arguments.as_str()).collect();
        let arguments = arguments.join("\n");
        if answer::holds_one(&arguments, schema)
            || (!self.text.trim().is_empty() && answer::holds_any(&arguments, schema))
        {
            // A model that insists on tools calls one with its answer. What it says beside that counts as well: two
            // different answers are none.
            self.text.push('\n');
            self.text.push_str(&arguments);
            sink(Delta::Text(&arguments));
        } else if self.text.trim().is_empty() {
            self.text = self.thought_alone()?;
            sink(Delta::Text(&self.text));
        }
        let estimate = Usage::estimate(
            self.request.prompt.bytes(),
            self.text.len().saturating_add(self.thought.len()),
        );
        Ok(Completion {
            usage: Usage {
                prompt: self.prompt_tokens.unwrap_or(estimate.prompt),
                completion: self.completion_tokens.unwrap_or(estimate.completion),
            },
            text: self.text,
            notes: Vec::new(),
        })
    }

    /// The answer of a model whose server holds its thoughts to the schema, and stops it there.
    fn thought_alone(&self) -> Result<String, ProviderError> {
        let thought = self.thought.trim();
        if answer::is_complete(thought, self.request.schema) {
            return Ok(thought.to_owned());
        }
        let names: Vec<&str> = self
            .calls
            .values()
            .map(|call| call.name.as_str())
            .filter(|name| !name.is_empty())
            .collect();
        Err(ProviderError::Silent(
            match (self.calls.is_empty(), thought.is_empty()) {
                (false, _) => format!("only a call of a tool ({})", quoted(&names.join(", "))),
                (true, false) => "only thoughts, and no answer after them".to_owned(),
                (true, true) => "not a word".to_owned(),
            },
        ))
    }

    /// What the allowance went into.
    fn ate(&self) -> Ate {
        let (open, closed) = (self.text.rfind("<think"), self.text.rfind("</think"));
        let thinks_still = open.is_some() && open > closed;
        let spoken = self.text.trim().len();
        if thinks_still || spoken == 0 && (!self.thought.is_empty() || self.thinking_tokens > 0) {
            return Ate::Thinking;
        }
        let completion = self
            .completion_tokens
            .unwrap_or(u64::from(self.request.max_tokens));
        if self.thought.len() > spoken || self.thinking_tokens.saturating_mul(2) > completion {
            return Ate::MostlyThinking;
        }
        Ate::Answer
    }
}

fn ending(reason: &str) -> Ending {
    let reason: String = reason
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    match reason.as_str() {
        "length"
        | "maxtokens"
        | "maxoutputtokens"
        | "maxnewtokens"
        | "maxcompletiontokens"
        | "modellength"
        | "tokenlimit"
        | "modelcontextwindowexceeded" => Ending::Cut,
        "contentfilter"
        | "contentfiltered"
        | "error"
        | "safety"
        | "refusal"
        | "recitation"
        | "blocked"
        | "prohibitedcontent"
        | "guardrailintervened" => Ending::Refused,
        "load" | "abort" | "aborted" | "cancelled" | "canceled" | "timeout" | "overloaded"
        | "networkerror" => Ending::Broken,
        _ => Ending::Complete,
    }
}

fn quoted(text: &str) -> String {
    crate::redact::bound(&crate::redact::redact(text), QUOTED)
}

/// The reason to end in one of these fields, whatever its type.
pub(super) fn reason(node: &Node, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match node.get(name)? {
        Node::Text(text) => Some(text.clone()),
        Node::Number(number) => Some(number.to_string()),
        Node::Bool(true) => Some("true".to_owned()),
        // Azure once sent `{"type": "stop"}`.
        map @ Node::Map(_) => map.get("type").and_then(Node::text).map(str::to_owned),
        Node::Null | Node::Bool(false) | Node::List(_) => None,
    })
}
