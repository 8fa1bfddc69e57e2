//! Asks one model after the other until one gives an answer that counts. Owns retries, the one repair, the breakers and
//! the account of who failed and why; what is asked, and what counts as an answer, is the caller's. Does I/O through the
//! providers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::precedence::Urgency;
use aegis_api::proposal::FailedAttempt;
use tokio::time::{Instant, timeout_at};

use crate::answer::live::Live;
use crate::answer::schema::Schema;
use crate::answer::{Fault, listed};
use crate::budget::{Spent, TokenBudget};
use crate::places::Places;
use crate::prompt::{Prompt, PromptError, Prompts};
use crate::provider::breaker::Breaker;
use crate::provider::build::build;
use crate::provider::config::{ConfigError, ProviderConfig};
use crate::provider::retry::RetryPolicy;
use crate::provider::{Again, Ate, Delta, Provider, ProviderError, Request, Usage};
use crate::redact::{bound, redact};
use crate::spending::{Exhausted, Spending};

/// Most characters of a reason that is recorded.
const REASON: usize = 500;
/// How many times the allowance a model gets that thinks, or whose answer was cut off.
const ROOM: u32 = 4;

/// A piece of a live answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// The next words.
    Text(&'a str),
    /// What was streamed so far does not count, and the next provider answers from the beginning.
    Restart {
        /// Whose words they were.
        provider: &'a str,
        /// Why they do not count.
        reason: &'a str,
    },
}

/// Where live answers go.
pub type OnChunk<'a> = dyn FnMut(Chunk<'_>) + Send + 'a;

/// What is remembered of a model.
#[derive(Debug, Default)]
struct Known {
    breaker: Breaker,
    /// It once spent its whole allowance on thinking.
    thinks: AtomicBool,
}

/// A provider and what is remembered of it from one incident to the next.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) provider: Box<dyn Provider>,
    /// One a model, so that a policy with a wrong model name does not open the breaker for the others.
    models: Mutex<BTreeMap<String, Arc<Known>>>,
    places: Places,
    max_tokens: u32,
}

impl Member {
    /// `at_once` calls run side by side; further ones wait for their turn, urgent ones first, within their incident's budget
    /// of time.
    pub(crate) fn new(provider: Box<dyn Provider>, at_once: usize, max_tokens: u32) -> Self {
        Self {
            provider,
            models: Mutex::default(),
            places: Places::new(at_once),
            max_tokens,
        }
    }

    pub(crate) fn configured(config: &ProviderConfig) -> Result<Self, ConfigError> {
        Ok(Self::new(build(config)?, config.at_once, config.max_tokens))
    }

    fn known(&self, model: &str) -> Arc<Known> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(models.entry(model.to_owned()).or_default())
    }
}

/// A provider, and which of its models is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) member: &'a Member,
    pub(crate) model: &'a str,
}

/// What is asked, of any model.
pub(crate) struct ModelRequest<'a, T> {
    pub(crate) schema: &'static Schema,
    /// The prompt, in at most so many characters.
    pub(crate) prompt: &'a (dyn Fn(usize) -> Result<Prompt, PromptError> + Sync),
    pub(crate) accept: fn(&str) -> Result<T, Vec<Fault>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) answer: Option<Answer<T>>,
    pub(crate) attempts: Vec<FailedAttempt>,
    pub(crate) usage: Usage,
}

/// An answer that counts.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) prompt_hash: String,
    /// What people were shown of it while it came.
    pub(crate) shown: String,
}

/// The models that may be asked, in order, and on what terms.
pub(crate) struct Chain<'a> {
    pub(crate) candidates: Vec<Candidate<'a>>,
    pub(crate) prompts: &'a Prompts,
    pub(crate) retry: RetryPolicy,
    pub(crate) spending: &'a Spending,
    /// By the caller's clock.
    pub(crate) now: Time,
    /// In which line its calls wait.
    pub(crate) urgency: Urgency,
    /// Why none of them is asked, if so.
    pub(crate) refused: Option<Exhausted>,
}

impl Chain<'_> {
    /// Asks until one answers, all have failed, or nothing is left to spend.
    pub(crate) async fn ask<T>(
        &self,
        question: &ModelRequest<'_, T>,
        mut token_budget: TokenBudget,
        on_chunk: &mut OnChunk<'_>,
    ) -> Outcome<T> {
        let mut attempts = Vec::new();
        let mut usage = Usage::default();
        for &Candidate { member, model } in &self.candidates {
            let started = Instant::now();
            let mut turn = Turn {
                chain: self,
                member,
                model,
                question,
                token_budget: &mut token_budget,
                usage: Usage::default(),
                shown: String::new(),
                notes: Vec::new(),
                on_chunk,
            };
            let result = turn.take().await;
            let cost = turn.usage;
            usage += cost;
            let notes = std::mem::take(&mut turn.notes);
            match result {
                Ok(answer) => {
                    // What was learned of the model, or cost a question more, belongs on the record as well.
                    attempts.extend(notes.into_iter().map(|(note, tokens)| FailedAttempt {
                        provider: member.provider.name().to_owned(),
                        model: model.to_owned(),
                        reason: recorded(&note),
                        tokens,
                        latency_ms: 0,
                    }));
                    return Outcome {
                        answer: Some(answer),
                        attempts,
                        usage,
                    };
                }
                Err(reason) => {
                    let all = std::iter::once(reason)
                        .chain(notes.into_iter().map(|(note, _)| format!("before that: {note}")));
                    let reason = recorded(&all.collect::<Vec<_>>().join("; "));
                    turn.discard(&reason);
                    attempts.push(FailedAttempt {
                        provider: member.provider.name().to_owned(),
                        model: model.to_owned(),
                        reason,
                        tokens: cost.total(),
                        latency_ms: millis(started.elapsed()),
                    });
                }
            }
        }
        Outcome {
            answer: None,
            attempts,
            usage,
        }
    }
}

/// A reason, as it is recorded.
fn recorded(reason: &str) -> String {
    let reason: String = redact(reason).chars().take(REASON).collect();
    bound(&reason, REASON)
}

/// Milliseconds, as they are recorded.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// One provider's turn.
struct Turn<'t, 'd, T> {
    chain: &'t Chain<'t>,
    member: &'t Member,
    model: &'t str,
    question: &'t ModelRequest<'t, T>,
    token_budget: &'t mut TokenBudget,
    usage: Usage,
    shown: String,
    /// What is to be said of it beside its answer, and the tokens that it cost.
    notes: Vec<(String, u64)>,
    on_chunk: &'t mut OnChunk<'d>,
}

impl<T> Turn<'_, '_, T> {
    /// Asks, and once more if the answer does not count.
    async fn take(&mut self) -> Result<Answer<T>, String> {
        let prompt = (self.question.prompt)(self.member.provider.prompt_chars())
            .map_err(|error| aegis_api::error::chain(&error))?;
        let first = self.complete(&prompt).await?;
        let faults = match (self.question.accept)(&first) {
            Ok(value) => return Ok(self.answer(value, &prompt)),
            Err(faults) => faults,
        };
        self.discard(&format!(
            "the answer cannot be used, and it is asked once more: {}",
            listed(&faults)
        ));
        let repair = self
            .chain
            .prompts
            .repair(&prompt, &first, &faults)
            .map_err(|error| aegis_api::error::chain(&error))?;
        let second = self.complete(&repair).await?;
        match (self.question.accept)(&second) {
            Ok(value) => Ok(self.answer(value, &prompt)),
            Err(faults) => Err(format!("gave no usable answer, twice: {}", listed(&faults))),
        }
    }

    fn answer(&mut self, value: T, prompt: &Prompt) -> Answer<T> {
        Answer {
            value,
            provider: self.member.provider.name().to_owned(),
            model: self.model.to_owned(),
            prompt_hash: prompt.hash(),
            shown: std::mem::take(&mut self.shown),
        }
    }

    /// One question, with retries.
    async fn complete(&mut self, prompt: &Prompt) -> Result<String, String> {
        let allowed = self.chain.refused.clone().map_or(Ok(()), Err);
        let allowed = allowed.and_then(|()| self.chain.spending.check(self.chain.now));
        allowed.map_err(|exhausted| exhausted.to_string())?;
        let mut last: Option<ProviderError> = None;
        let known = self.member.known(self.model);
        let thinks = known.thinks.load(Ordering::Relaxed);
        let mut again = if thinks { Again::CutOff } else { Again::No };
        let mut asked_again = false;
        for retry in 0.. {
            let place = self.member.places.take(self.chain.urgency);
            let place = match timeout_at(self.token_budget.deadline, place).await {
                Ok(place) => place,
                Err(_) => return Err(Spent::Time.to_string()),
            };
            let permit = match known.breaker.enter(Instant::now()) {
                Ok(permit) => permit,
                Err(open) => return Err(last.map_or_else(|| open.to_string(), |error| error.to_string())),
            };
            let estimate = Usage::estimate(prompt.bytes(), 0);
            let wanted = match again {
                Again::CutOff => self.member.max_tokens.saturating_mul(ROOM),
                Again::No | Again::Silent => self.member.max_tokens,
            };
            let max_tokens = match self.token_budget.allow(estimate.prompt, wanted) {
                Ok(max_tokens) => max_tokens,
                Err(spent) => return Err(spent.to_string()),
            };
            let request = Request {
                model: self.model,
                prompt,
                schema: self.question.schema,
                max_tokens,
                deadline: self.token_budget.deadline,
                again,
            };
            let mut heard = 0;
            let spent = self.usage.total();
            let error = match self.once(request, &mut heard).await {
                Ok(text) => {
                    permit.succeeded();
                    return Ok(text);
                }
                Err(error) => error,
            };
            if error.is_outage() {
                permit.failed(Instant::now(), error.retry_after());
            } else {
                permit.succeeded();
            }
            if heard > 0 || error.has_cost() {
                self.spend(Usage::estimate(prompt.bytes(), heard));
            }
            if let Some(other) = error.again().filter(|other| !asked_again && *other != again) {
                if matches!(error, ProviderError::CutOff { ate, .. } if ate != Ate::Answer) {
                    known.thinks.store(true, Ordering::Relaxed);
                }
                let reason = format!("{error}: it is asked once more, {}", other.how());
                self.discard(&reason);
                self.notes
                    .push((reason, self.usage.total().saturating_sub(spent)));
                (again, asked_again) = (other, true);
                last = Some(error);
                continue;
            }
            let pause = self.chain.retry.pause(retry, error.retry_after(), rand::random());
            let pause = pause.filter(|pause| error.is_retryable() && self.token_budget.has_time_for(*pause));
            let Some(pause) = pause else {
                return Err(error.to_string());
            };
            self.discard(&error.to_string());
            last = Some(error);
            drop(place);
            tokio::time::sleep(pause).await;
        }
        Err("was retried without end".to_owned())
    }

    /// One call. `heard` counts the bytes of what it said.
    async fn once(&mut self, request: Request<'_>, heard: &mut usize) -> Result<String, ProviderError> {
        let mut live = Live::new(self.question.schema);
        let (shown, on_chunk) = (&mut self.shown, &mut *self.on_chunk);
        let mut show = |text: String| {
            if !text.is_empty() {
                on_chunk(Chunk::Text(&text));
                shown.push_str(&text);
            }
        };
        let mut sink = |delta: Delta<'_>| match delta {
            Delta::Thought(text) => {
                *heard += text.len();
                show(bound(text, usize::MAX));
            }
            Delta::Text(text) => {
                *heard += text.len();
                show(live.push(text));
            }
        };
        let completion = self.member.provider.complete(request, &mut sink).await?;
        show(live.finish());
        self.spend(completion.usage);
        self.notes
            .extend(completion.notes.into_iter().map(|note| (note, 0)));
        Ok(completion.text)
    }

    fn spend(&mut self, usage: Usage) {
        self.usage += usage;
        self.token_budget.spend(usage.total());
        self.chain.spending.spend(self.chain.now, usage.total());
    }

    /// What was shown does not count.
    fn discard(&mut self, reason: &str) {
        if self.shown.is_empty() {
            return;
        }
        self.shown.clear();
        (self.on_chunk)(Chunk::Restart {
            provider: self.member.provider.name(),
            reason,
        });
    }
}
