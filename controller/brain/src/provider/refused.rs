//! What the server of a model refuses beside the messages: which optional parameters a question goes out with, and what is
//! left out where it is refused. Owns what is remembered, a model at a time: a server may have another program behind
//! each. Pure.
//!
//! A refusal that names a parameter costs that one. One that names none is found out: they are left out one after the
//! other, and the one without which the question is accepted is the one that is refused; those before it are offered
//! again next time. Whatever is refused, how much an answer may say is bounded while it is read.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most models that something is remembered of.
const MODELS: usize = 256;
/// Most times that one question is retried.
const TRIES: usize = 8;
/// What servers say, in small letters, of a question that is too large for the model.
const OF_SIZE: [&str; 3] = ["context length", "context window", "too large"];

/// How the most tokens of an answer are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// As `max_tokens`.
    MaxTokens,
    /// As `max_completion_tokens`, which newer models want.
    MaxCompletionTokens,
    /// Not at all.
    Unsaid,
}

/// What a question goes out with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) limit: Limit,
    /// `temperature`.
    pub(super) temperature: bool,
    /// `response_format`.
    pub(super) schema: bool,
    /// `stream_options`.
    pub(super) usage: bool,
    /// The word `json` where there would be a schema.
    pub(super) json: Json,
    /// That a model should not think.
    pub(super) think: bool,
}

/// Whether `format: "json"` takes the place of a schema that is refused, as Ollama had it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Json {
    /// It does not.
    Never,
    /// Where the schema is refused.
    Later,
    /// The schema is refused.
    Now,
}

impl Offer {
    /// To Ollama, whose other parameters are options that it passes over where it does not know them.
    pub(super) const OLLAMA: Self = Self {
        limit: Limit::Unsaid,
        temperature: false,
        schema: true,
        usage: false,
        json: Json::Later,
        think: true,
    };
    /// To a server of chat completions.
    pub(super) const DEFAULT: Self = Self {
        limit: Limit::MaxTokens,
        temperature: true,
        schema: true,
        usage: true,
        json: Json::Never,
        think: false,
    };
    /// To Anthropic, which wants `max_tokens` always.
    pub(super) const ANTHROPIC: Self = Self {
        limit: Limit::Unsaid,
        temperature: true,
        schema: false,
        usage: false,
        json: Json::Never,
        think: false,
    };
}

impl Default for Offer {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One that can be left out, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    Schema,
    Json,
    Think,
    Temperature,
    Usage,
    Limit,
}

const PARAMETERS: [Parameter; 6] = [
    Parameter::Schema,
    Parameter::Json,
    Parameter::Think,
    Parameter::Temperature,
    Parameter::Usage,
    Parameter::Limit,
];

impl Parameter {
    /// What refusals call it, in small letters.
    fn names(self, offer: Offer) -> &'static [&'static str] {
        match self {
            Self::Schema | Self::Json if offer.json != Json::Never => &["format", "grammar"],
            Self::Json => &[],
            Self::Think => &["think"],
            Self::Schema => &[
                "response_format",
                "response format",
                "json_schema",
                "json schema",
                "structured output",
                "guided_json",
            ],
            Self::Temperature => &["temperature"],
            Self::Usage => &["stream_options", "include_usage"],
            Self::Limit => match offer.limit {
                Limit::MaxTokens => &["max_tokens", "max tokens"],
                Limit::MaxCompletionTokens => &["max_completion_tokens"],
                Limit::Unsaid => &[],
            },
        }
    }

    fn is_in(self, offer: Offer) -> bool {
        match self {
            Self::Schema => offer.schema,
            Self::Json => offer.json == Json::Now,
            Self::Think => offer.think,
            Self::Temperature => offer.temperature,
            Self::Usage => offer.usage,
            Self::Limit => offer.limit != Limit::Unsaid,
        }
    }

    fn leave_out(self, offer: &mut Offer) {
        match self {
            Self::Schema => {
                offer.schema = false;
                if offer.json == Json::Later {
                    offer.json = Json::Now;
                }
            }
            Self::Json => offer.json = Json::Never,
            Self::Think => offer.think = false,
            Self::Temperature => offer.temperature = false,
            Self::Usage => offer.usage = false,
            Self::Limit => {
                offer.limit = match offer.limit {
                    Limit::MaxTokens => Limit::MaxCompletionTokens,
                    Limit::MaxCompletionTokens | Limit::Unsaid => Limit::Unsaid,
                }
            }
        }
    }
}

/// What is known of each model of a server.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// What a question to an unknown model goes out with.
    first: Offer,
    models: Mutex<BTreeMap<String, Offer>>,
}

/// One question on its way: what it goes out with now, and what is proved to be refused.
#[derive(Debug)]
pub(super) struct Tries {
    known: Offer,
    proved: Offer,
    offer: Offer,
    /// Left out last, without being named.
    unconfirmed: Option<Parameter>,
    /// The refusal is about this question's size, and says nothing of the next one.
    of_size: bool,
    count: usize,
}

impl Learned {
    /// Of a server whose models are asked with this at first.
    pub(super) fn starting(first: Offer) -> Self {
        Self {
            first,
            models: Mutex::default(),
        }
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<String, Offer>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tries(&self, model: &str) -> Tries {
        let known = self.models().get(model).copied().unwrap_or(self.first);
        Tries {
            known,
            proved: known,
            offer: known,
            unconfirmed: None,
            of_size: false,
            count: 0,
        }
    }

    /// The question was accepted. Answers what is newly known to be refused of the model.
    pub(super) fn keep(&self, model: &str, tries: &Tries) -> Option<String> {
        if tries.of_size {
            return None;
        }
        let mut proved = tries.proved;
        if let Some(unconfirmed) = tries.unconfirmed {
            unconfirmed.leave_out(&mut proved);
        }
        if proved == tries.known {
            return None;
        }
        let mut models = self.models();
        if models.len() < MODELS || models.contains_key(model) {
            models.insert(model.to_owned(), proved);
        }
        Some(difference(tries.known, proved))
    }
}

fn difference(known: Offer, now: Offer) -> String {
    let mut refused = Vec::new();
    match (known.schema && !now.schema, known.json, now.json) {
        (true, Json::Never, _) => refused.push("response_format"),
        (true, _, Json::Never) => refused.push("format"),
        (true, _, _) => refused.push("a schema in format (\"json\" is sent in its place)"),
        (false, Json::Now, Json::Never) => refused.push("format"),
        (false, _, _) => {}
    }
    if known.think && !now.think {
        refused.push("think");
    }
    if known.temperature && !now.temperature {
        refused.push("temperature");
    }
    if known.usage && !now.usage {
        refused.push("stream_options");
    }
    match (known.limit, now.limit) {
        (Limit::MaxTokens, Limit::MaxCompletionTokens) => {
            refused.push("max_tokens (max_completion_tokens is sent in its place)");
        }
        (Limit::MaxTokens, Limit::Unsaid) => refused.push("max_tokens and max_completion_tokens"),
        (Limit::MaxCompletionTokens, Limit::Unsaid) => refused.push("max_completion_tokens"),
        _ => {}
    }
    refused.join(", ")
}

impl Tries {
    pub(super) fn offer(&self) -> Offer {
        self.offer
    }

    /// The server refused the question; answers whether it is worth asking with something left out.
    pub(super) fn refused(&mut self, code: u16, message: &str) -> bool {
        self.count += 1;
        if !matches!(code, 400 | 404 | 422) || self.count > TRIES {
            return false;
        }
        let message = message.to_lowercase();
        self.of_size |= OF_SIZE.iter().any(|words| message.contains(words));
        let named: Vec<Parameter> = named(&message, self.offer);
        if !named.is_empty() {
            for parameter in named {
                parameter.leave_out(&mut self.proved);
            }
            // What was left out on suspicion was not it, or not alone.
            self.unconfirmed = None;
            self.offer = self.proved;
            return true;
        }
        // A model that does not exist is no matter of parameters, unless the words speak of them.
        if code == 404 && !message.contains("parameter") {
            return false;
        }
        let unconfirmed = PARAMETERS
            .into_iter()
            .find(|parameter| parameter.is_in(self.offer));
        let Some(unconfirmed) = unconfirmed else {
            return false;
        };
        unconfirmed.leave_out(&mut self.offer);
        self.unconfirmed = Some(unconfirmed);
        true
    }
}

/// Which of what was sent a refusal names.
fn named(message: &str, offer: Offer) -> Vec<Parameter> {
    let is_named = |parameter: &Parameter| {
        parameter.is_in(offer) && parameter.names(offer).iter().any(|name| message.contains(name))
    };
    PARAMETERS.into_iter().filter(is_named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offer = Offer {
        limit: Limit::MaxTokens,
        temperature: true,
        schema: true,
        usage: true,
        json: Json::Never,
        think: false,
    };

    /// Asks a server that accepts what `accepts` says and gives this message otherwise; what is offered, try by try.
    fn asked(
        learned: &Learned,
        model: &str,
        accepts: impl Fn(Offer) -> bool,
        message: &str,
    ) -> (Vec<Offer>, bool) {
        let (mut tries, mut offers) = (learned.tries(model), Vec::new());
        loop {
            offers.push(tries.offer());
            assert!(offers.len() < 10, "{offers:?}");
            if accepts(tries.offer()) {
                learned.keep(model, &tries);
                return (offers, true);
            }
            if !tries.refused(400, message) {
                return (offers, false);
            }
        }
    }

    #[test]
    fn only_what_is_named_is_left_out_and_only_for_that_model() {
        for (message, expected) in [
            (
                "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
                Offer {
                    limit: Limit::MaxCompletionTokens,
                    ..ALL
                },
            ),
            (
                "Unsupported value: 'temperature' does not support 0",
                Offer {
                    temperature: false,
                    ..ALL
                },
            ),
            ("response_format is not supported", Offer { schema: false, ..ALL }),
            (
                "This model does not support JSON Schema",
                Offer { schema: false, ..ALL },
            ),
            (
                "Extra inputs are not permitted (parameter stream_options)",
                Offer { usage: false, ..ALL },
            ),
            (
                "unknown fields: temperature, stream_options",
                Offer {
                    temperature: false,
                    usage: false,
                    ..ALL
                },
            ),
        ] {
            let learned = Learned::default();
            let (offers, done) = asked(&learned, "a", |offer| offer == expected, message);
            assert_eq!((offers, done), (vec![ALL, expected], true), "{message}");
            assert_eq!(learned.tries("a").offer(), expected);
            assert_eq!(
                learned.tries("b").offer(),
                ALL,
                "{message}: held against another model"
            );
        }
    }

    #[test]
    fn what_is_refused_without_a_name_is_found_out_and_the_others_are_offered_again() {
        type Refusal = (fn(Offer) -> bool, Offer);
        let refuses: [Refusal; 4] = [
            (|offer| !offer.schema, Offer { schema: false, ..ALL }),
            (
                |offer| !offer.temperature,
                Offer {
                    temperature: false,
                    ..ALL
                },
            ),
            (|offer| !offer.usage, Offer { usage: false, ..ALL }),
            (
                |offer| offer.limit == Limit::MaxCompletionTokens,
                Offer {
                    limit: Limit::MaxCompletionTokens,
                    ..ALL
                },
            ),
        ];
        for (accepts, expected) in refuses {
            let learned = Learned::default();
            assert!(asked(&learned, "a", accepts, "Bad Request").1);
            assert_eq!(learned.tries("a").offer(), expected);
            assert_eq!(
                asked(&learned, "a", accepts, "Bad Request").0,
                [expected],
                "once is enough"
            );
        }
    }

    #[test]
    fn several_that_are_refused_without_a_name_are_found_out_one_a_question() {
        let learned = Learned::default();
        let accepts = |offer: Offer| !offer.schema && !offer.usage;
        for _ in 0..2 {
            assert!(asked(&learned, "a", accepts, "Bad Request").1);
        }
        let expected = Offer {
            schema: false,
            usage: false,
            ..ALL
        };
        assert_eq!(learned.tries("a").offer(), expected);
    }

    #[test]
    fn a_refusal_that_is_about_something_else_is_given_up() {
        let learned = Learned::default();
        let (offers, done) = asked(
            &learned,
            "a",
            |_| false,
            "This model's context length is 8192 tokens",
        );
        assert!(!done && offers.len() <= 6, "{offers:?}");
        assert_eq!(learned.tries("a").offer(), ALL, "and nothing is learned of it");
        let (offers, done) = asked(
            &learned,
            "a",
            |offer| offer.limit == Limit::Unsaid,
            "max_tokens/max_completion_tokens is too large: 1500 (context length 2048)",
        );
        assert!(done, "{offers:?}");
        assert_eq!(learned.tries("a").offer(), ALL, "it was this question's size");
        let mut tries = learned.tries("a");
        assert!(!tries.refused(404, "The model `x` does not exist"));
        assert!(tries.refused(404, "No endpoints found that support the requested parameters"));
        for code in [401, 403, 413, 429, 500] {
            assert!(!tries.refused(code, "max_tokens"), "{code}");
        }
    }

    #[test]
    fn an_ollama_of_before_schemas_is_asked_with_the_word_json_and_one_of_before_that_without() {
        let learned = Learned::starting(Offer::OLLAMA);
        let message = "json: cannot unmarshal object into Go struct field ChatRequest.format of type string";
        let old = Offer {
            schema: false,
            json: Json::Now,
            ..Offer::OLLAMA
        };
        let mut tries = learned.tries("a");
        assert!(tries.refused(400, message));
        assert_eq!(tries.offer(), old);
        assert_eq!(
            learned.keep("a", &tries).unwrap(),
            "a schema in format (\"json\" is sent in its place)"
        );
        let oldest = Offer {
            json: Json::Never,
            ..old
        };
        let mut tries = learned.tries("a");
        assert!(tries.refused(400, "invalid format"));
        assert_eq!(tries.offer(), oldest);
        assert_eq!(learned.keep("a", &tries).unwrap(), "format");
        assert_eq!(learned.tries("b").offer(), Offer::OLLAMA);
        let mut tries = learned.tries("b");
        assert!(tries.refused(400, "\"llama3\" does not support thinking"));
        assert!(!tries.offer().think && tries.offer().schema);
    }

    #[test]
    fn what_is_learned_is_said_and_bounded() {
        let learned = Learned::default();
        let mut tries = learned.tries("a");
        assert!(tries.refused(400, "max_tokens, temperature"));
        let said = learned.keep("a", &tries).unwrap();
        assert_eq!(
            said,
            "temperature, max_tokens (max_completion_tokens is sent in its place)"
        );
        assert_eq!(learned.keep("a", &learned.tries("a")), None, "once");
        for n in 0..1000 {
            let mut tries = learned.tries(&n.to_string());
            tries.refused(400, "temperature");
            learned.keep(&n.to_string(), &tries);
        }
        assert_eq!(learned.models().len(), MODELS);
    }
}
