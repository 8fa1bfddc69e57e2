//! The brain as the incident reconciler sees it: one analysis, one vote a seat. Owns who is asked: the configured models
//! in their order, and in the end the built-in analyst and the deterministic reviewers, who need no model. Its only I/O is
//! the models' HTTP; what time it is the case says.

use std::path::PathBuf;
use std::sync::Arc;

use aegis_api::policy::{AnalysisPolicy, RUNBOOK};
use aegis_api::proposal::{Action, Analysis, Asked, FailedAttempt, Proposal, Seat, Vote};
use aegis_api::{Duration, Symptom, Time};
use tokio::time::Instant;

use crate::answer::{self, schema};
use crate::budget::Budget;
use crate::builtin::Analyst;
use crate::builtin::added::RuleFile;
use crate::builtin::rules::TableError;
use crate::case::Case;
use crate::chain::{Answer, Candidate, Chain, Chunk, Member, ModelRequest, OnChunk, millis};
use crate::council::{self, SeatReview, model};
use crate::known::{self, Known};
use crate::observer::{Answered, Observer};
use crate::prompt::{PromptError, Prompts};
use crate::provider::Usage;
use crate::provider::config::{ConfigError, ProviderConfig};
use crate::provider::retry::RetryPolicy;
use crate::redact::{bound, redact};
use crate::routes::{BUILTIN, Routes};
use crate::spending::{SpendLimits, Spending};

/// The longest account of an analysis, in characters; the shape of [`Analysis`] promises it.
const REASONING: usize = 16_000;

/// How the brain is set up.
#[derive(Debug, Clone)]
pub struct BrainConfig {
    /// The confidence (0 to 1) from which the SRE seat stands behind its own proposal.
    pub least_confidence: f64,
    /// Models that can be asked. None: the built-in analyst does it all.
    pub providers: Vec<ProviderConfig>,
    /// Who is asked what, and in which order. Absent: every provider, in the order above.
    pub routes: Option<Routes>,
    /// A folder of prompt templates that take the embedded ones' place.
    pub prompts_dir: Option<PathBuf>,
    /// What one incident may cost.
    pub budget: Budget,
    /// What all of them may.
    pub spend: SpendLimits,
    /// Where what was spent outlives a restart; absent: nowhere.
    pub spend_file: Option<PathBuf>,
    /// How often a provider in trouble is asked again.
    pub retry: RetryPolicy,
}

impl Default for BrainConfig {
    fn default() -> Self {
        Self {
            least_confidence: 0.6,
            providers: Vec::new(),
            routes: None,
            prompts_dir: None,
            budget: Budget::default(),
            spend: SpendLimits::default(),
            spend_file: None,
            retry: RetryPolicy::default(),
        }
    }
}

/// Why there is no brain, or no analysis.
#[derive(Debug, thiserror::Error)]
pub enum BrainError {
    /// The embedded table of rules is broken.
    #[error("cannot read the analyst's rules")]
    Rules(#[source] TableError),
    /// The configuration is.
    #[error("least_confidence is {0}: use a number from 0 to 1")]
    LeastConfidence(f64),
    /// A provider's is.
    #[error("cannot set up a model provider")]
    Provider(#[from] ConfigError),
    /// A template is.
    #[error("cannot set up the prompts")]
    Prompts(#[from] PromptError),
    /// A route names a provider that does not exist.
    #[error("no provider is called {name:?}: there are {}", .known.join(", "))]
    Route {
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
}

/// Analyst and council. Cheap to clone; clones share what is remembered of the providers.
#[derive(Debug, Clone)]
pub struct Brain {
    shared: Arc<Shared>,
    routes: Arc<Routes>,
    observer: Option<Arc<dyn Observer>>,
}

#[derive(Debug)]
struct Shared {
    analyst: Analyst,
    members: Vec<Member>,
    prompts: Prompts,
    least_confidence: f64,
    budget: Budget,
    spending: Spending,
    retry: RetryPolicy,
}

impl Brain {
    /// Sets up the analyst, the models and the reviewers. Opens no connection yet.
    pub fn new(config: BrainConfig) -> Result<Self, BrainError> {
        let mut members = Vec::new();
        for (at, provider) in config.providers.iter().enumerate() {
            let mut earlier = config.providers.iter().take(at);
            let taken = earlier.any(|earlier| earlier.name == provider.name);
            if taken || provider.name.is_empty() || [BUILTIN, RUNBOOK].contains(&provider.name.as_str()) {
                return Err(ConfigError::Name(provider.name.clone()).into());
            }
            members.push(Member::configured(provider)?);
        }
        Self::with_members(config, members)
    }

    pub(crate) fn with_members(config: BrainConfig, members: Vec<Member>) -> Result<Self, BrainError> {
        if !(0.0..=1.0).contains(&config.least_confidence) {
            return Err(BrainError::LeastConfidence(config.least_confidence));
        }
        let names = members.iter().map(|member| member.provider.name());
        let routes = config.routes.unwrap_or_else(|| Routes::all(names));
        let brain = Self {
            shared: Arc::new(Shared {
                analyst: Analyst::new().map_err(BrainError::Rules)?,
                members,
                prompts: Prompts::load(config.prompts_dir.as_deref())?,
                least_confidence: config.least_confidence,
                budget: config.budget,
                spending: Spending::open(config.spend, config.spend_file),
                retry: config.retry,
            }),
            routes: Arc::default(),
            observer: None,
        };
        brain.with_routes(routes)
    }

    /// The same brain with other routes, as a policy may want for its workloads.
    pub fn with_routes(&self, routes: Routes) -> Result<Self, BrainError> {
        let known = || self.shared.members.iter().map(|member| member.provider.name());
        let unknown = routes
            .names()
            .find(|name| *name != BUILTIN && !known().any(|known| known == *name));
        if let Some(name) = unknown {
            return Err(BrainError::Route {
                name: name.to_owned(),
                known: known().chain([BUILTIN]).map(str::to_owned).collect(),
            });
        }
        Ok(Self {
            shared: Arc::clone(&self.shared),
            routes: Arc::new(routes),
            observer: self.observer.clone(),
        })
    }

    /// From now on the built-in analyst asks these files' rules first, by the order of the files' names.
    pub fn set_rules(&self, files: impl IntoIterator<Item = RuleFile>) {
        self.shared.analyst.set_rules(files);
    }

    /// What is wrong in a case, gravest first: by its evidence, and as measured beside it; no model is asked.
    pub fn symptoms(&self, case: &Case) -> Vec<Symptom> {
        self.shared.analyst.symptoms(case)
    }

    /// The same brain, as a policy wants it for its workloads. An error names a provider that is not configured.
    pub fn under(&self, policy: &AnalysisPolicy) -> Result<Self, BrainError> {
        if policy.is_empty() {
            return Ok(self.clone());
        }
        self.with_routes(self.routes.under(policy))
    }

    /// The same brain, which reports to `observer` what it was asked and what that took.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    fn report(&self, answered: Option<Answered<'_>>) {
        if let (Some(observer), Some(answered)) = (&self.observer, answered) {
            observer.answered(&answered);
        }
    }

    /// Says what is wrong and proposes what to do; where the runbook knows well enough, no model is asked. The reasoning
    /// goes to `on_chunk` piece by piece as it is made; all pieces since the last [`Chunk::Restart`] together are the
    /// analysis' `reasoning`, secrets and what exceeds its length left out. Dropping the future ends the call to the model.
    pub async fn analyse(&self, case: &Case, on_chunk: &mut OnChunk<'_>) -> Result<Analysis, BrainError> {
        let started = Instant::now();
        let analyst = &self.shared.analyst;
        let judged = analyst.with_recognised(case);
        let case = judged.as_ref();
        if let Some(known) = known::decide(analyst, case, self.shared.least_confidence) {
            let analysis = Account::of_no_model(case.now, started).of_runbook(known, on_chunk);
            self.report(Some(Answered::analysis(&analysis, &case.recalled)));
            return Ok(analysis);
        }
        let token_budget = self.shared.budget.left(None, &[]);
        let prompt = |chars| self.shared.prompts.analysis(case, chars);
        let question = ModelRequest {
            schema: &schema::PROPOSAL,
            prompt: &prompt,
            accept: answer::proposal,
        };
        let symptoms = analyst.symptoms(case);
        let spending = &self.shared.spending;
        let chain = Chain {
            refused: spending.check_quiet(case, &symptoms).err(),
            ..self.chain(self.routes.analysis(), case)
        };
        let outcome = chain.ask(&question, token_budget, on_chunk).await;
        let account = Account {
            usage: outcome.usage,
            attempts: outcome.attempts,
            asked_at: case.now,
            started,
        };
        let analysis = match outcome.answer {
            Some(answer) => {
                if answer.value.action == Action::Noop {
                    spending.note_nothing(case, &symptoms);
                }
                account.of_model(answer, on_chunk)
            }
            None => account.of_analyst(analyst, case, on_chunk),
        };
        self.report(Some(Answered::analysis(&analysis, &case.recalled)));
        Ok(analysis)
    }

    /// One seat's vote on `analysis`, made with `earlier` votes in view. A seat that cannot judge abstains, which is
    /// NEEDS_REVIEW. On what a model proposed models vote, within what the rules allow; see [`council::model`].
    pub async fn review(&self, seat: Seat, case: &Case, analysis: &Analysis, earlier: &[Vote]) -> Vote {
        let started = Instant::now();
        let judged = self.shared.analyst.with_recognised(case);
        let case = judged.as_ref();
        let proposal = &analysis.proposal;
        let motion = model::Motion {
            seat,
            case,
            proposal,
            earlier,
        };
        let least = self.shared.least_confidence;
        let (review, asked): (SeatReview, Option<Asked>) = if is_by_rule(analysis) {
            (council::review(least, seat, case, proposal, earlier), None)
        } else {
            let by_rule = model::rules(least, motion);
            let chain = self.chain(self.routes.review(seat), case);
            let token_budget = self.shared.budget.left(Some(analysis), earlier);
            model::review(&chain, motion, token_budget, by_rule).await
        };
        let vote = Vote {
            role: seat,
            verdict: review.verdict,
            reasoning: review.reasoning,
            timestamp: answered(case.now, started),
            asked,
        };
        self.report(Answered::vote(&vote));
        vote
    }

    /// The models of a route; what comes after the built-in analyst is never asked.
    fn chain<'a>(&'a self, names: &'a [String], case: &Case) -> Chain<'a> {
        let models = names.iter().take_while(|name| *name != BUILTIN);
        let members = models.filter_map(|name| {
            let mut members = self.shared.members.iter();
            let member = members.find(|member| member.provider.name() == name)?;
            let model = self.routes.models.get(name).map(String::as_str);
            Some(Candidate {
                member,
                model: model.unwrap_or(member.provider.model()),
            })
        });
        Chain {
            candidates: members.collect(),
            prompts: &self.shared.prompts,
            retry: self.shared.retry,
            spending: &self.shared.spending,
            now: case.now,
            urgency: case.severity.into(),
            refused: None,
        }
    }
}

/// What an analysis took, no matter what made it: a model, the runbook or the built-in analyst.
struct Account {
    usage: Usage,
    attempts: Vec<FailedAttempt>,
    asked_at: Time,
    started: Instant,
}

impl Account {
    /// Of an analysis for which no model was asked.
    fn of_no_model(asked_at: Time, started: Instant) -> Self {
        Self {
            usage: Usage::default(),
            attempts: Vec::new(),
            asked_at,
            started,
        }
    }

    fn of_runbook(self, known: Known, on_chunk: &mut OnChunk<'_>) -> Analysis {
        for chunk in known.chunks() {
            on_chunk(Chunk::Text(chunk));
        }
        self.analysis(
            known.proposal,
            known.reasoning,
            RUNBOOK.to_owned(),
            known.entry,
            None,
        )
    }

    fn of_model(self, answer: Answer<Proposal>, on_chunk: &mut OnChunk<'_>) -> Analysis {
        let mut shown = answer.shown;
        if shown.trim().is_empty() {
            // It answered without a word beside the object: its justification is the reasoning there is.
            on_chunk(Chunk::Text(&answer.value.justification));
            shown.push_str(&answer.value.justification);
        }
        let reasoning = bound(&redact(&shown), REASONING);
        self.analysis(
            answer.value,
            reasoning,
            answer.provider,
            answer.model,
            Some(answer.prompt_hash),
        )
    }

    fn of_analyst(self, analyst: &Analyst, case: &Case, on_chunk: &mut OnChunk<'_>) -> Analysis {
        let finding = analyst.analyse(case);
        for chunk in finding.chunks() {
            on_chunk(Chunk::Text(chunk));
        }
        self.analysis(
            finding.proposal,
            finding.reasoning,
            BUILTIN.to_owned(),
            finding.rule,
            None,
        )
    }

    fn analysis(
        self,
        proposal: Proposal,
        reasoning: String,
        provider: String,
        model: String,
        prompt_hash: Option<String>,
    ) -> Analysis {
        Analysis {
            proposal,
            reasoning,
            provider,
            model,
            tokens: self.usage.total(),
            prompt_tokens: self.usage.prompt,
            completion_tokens: self.usage.completion,
            latency_ms: millis(self.started.elapsed()),
            prompt_hash,
            attempts: self.attempts,
            at: answered(self.asked_at, self.started),
        }
    }
}

/// Whether no model had a part in it, so that the rules review it alone.
fn is_by_rule(analysis: &Analysis) -> bool {
    [BUILTIN, RUNBOOK].contains(&analysis.provider.as_str())
}

/// When the answer to a question that was asked at `started` came, by the caller's clock.
fn answered(asked_at: Time, started: Instant) -> Time {
    asked_at.plus(Duration::from_millis(millis(started.elapsed())))
}

#[cfg(test)]
pub(crate) mod tests;
