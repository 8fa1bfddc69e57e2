//! The built-in analyst: deterministic rules over evidence. Needs no network, no key and no model, and always answers.
//! Owns the choice among the rules and the account of it; the rules are data (`builtin/rules.yaml`). Pure.
//!
//! The first rule that holds, that the replica bounds allow and that has not failed already decides. The table ends
//! with a rule that always holds and requires a human. A person's own rules come before the built-in ones.

pub mod added;
pub mod condition;
mod possible;
pub mod rules;
pub(crate) mod words;

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use aegis_api::proposal::{Action, Evidence, Proposal};
use aegis_api::symptom::{Symptom, SymptomKind};

use crate::case::{Case, Recalled};
use crate::facts::Facts;
use crate::redact::{bound, redact};
use added::RuleFile;
use rules::{Rule, Table, TableError};

/// The longest account of an analysis, in characters; the shape of `Analysis` promises it.
const REASONING: usize = 16_000;
/// The most symptoms that are reported, and the longest words of one, in characters; the shape of an incident promises both.
const SYMPTOMS: usize = 12;
const SYMPTOM: usize = 300;
/// The most that a similar case which went well adds to the confidence, and the confidence it never lifts above.
const LIFT: (f64, f64) = (0.1, 0.97);

/// The rules, ready to use.
#[derive(Debug)]
pub struct Analyst {
    table: Table,
    added: RwLock<Arc<[RuleFile]>>,
}

/// What the analyst found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Name of the rule that decided; of a person's own with its file, as in `night (rules/night.yaml)`.
    pub rule: String,
    /// The proposal.
    pub proposal: Proposal,
    /// The account, in sentences: what was seen, what was ruled out and why, what was decided.
    pub reasoning: String,
}

impl Finding {
    /// The reasoning in pieces of a few words, as they would be said.
    pub fn chunks(&self) -> impl Iterator<Item = &str> {
        words::chunks(&self.reasoning)
    }
}

impl Analyst {
    /// Reads the embedded rules.
    pub fn new() -> Result<Self, TableError> {
        Ok(Self {
            table: Table::embedded()?,
            added: RwLock::new(Arc::new([])),
        })
    }

    /// From now on these files are asked before the built-in rules, by the order of their names.
    pub fn set_rules(&self, files: impl IntoIterator<Item = RuleFile>) {
        let mut files: Vec<RuleFile> = files.into_iter().collect();
        files.sort_by(|a, b| a.name().cmp(b.name()));
        *self.added.write().unwrap_or_else(PoisonError::into_inner) = files.into();
    }

    /// What is wrong, gravest first: what a person's own rules recognise that call for an action, what is always checked,
    /// and what was measured outside of the evidence.
    pub fn symptoms(&self, case: &Case) -> Vec<Symptom> {
        let judged = self.with_recognised(case);
        let mut symptoms = Facts::of(&judged).symptoms();
        symptoms.truncate(SYMPTOMS);
        symptoms
    }

    /// The case with what a person's own rules recognise among what is measured, so that all who judge it know of it.
    pub(crate) fn with_recognised<'a>(&self, case: &'a Case) -> Cow<'a, Case> {
        let mut recognised = self.recognised(case);
        recognised.retain(|symptom| !case.measured.contains(symptom));
        if recognised.is_empty() {
            return Cow::Borrowed(case);
        }
        let mut case = case.clone();
        case.measured.extend(recognised);
        Cow::Owned(case)
    }

    /// What a person's own rules recognise that call for an action.
    fn recognised(&self, case: &Case) -> Vec<Symptom> {
        let facts = Facts::of(case);
        let added = Arc::clone(&self.added.read().unwrap_or_else(PoisonError::into_inner));
        let own = added
            .iter()
            .flat_map(|file| file.rules().iter().map(move |rule| (file.name(), rule)));
        let holding = own.filter(|(_, rule)| {
            rule.action != Action::Noop && rule.when.iter().all(|condition| condition.check(facts).holds)
        });
        let recognised = holding.map(|(file, rule)| Symptom {
            kind: SymptomKind::Rule,
            container: None,
            value: None,
            message: bound(&format!("{} (rule {}, {file})", rule.title, rule.name), SYMPTOM),
        });
        recognised.collect()
    }

    /// Judges a case. The same case and the same files give the same finding.
    pub fn analyse(&self, case: &Case) -> Finding {
        let facts = Facts::of(case);
        let added = Arc::clone(&self.added.read().unwrap_or_else(PoisonError::into_inner));
        let own = added
            .iter()
            .flat_map(|file| file.rules().iter().map(|rule| (Some(file.name()), rule)));
        let built_in = self.table.rules().iter().map(|rule| (None, rule));
        let mut passed_over: Vec<PassedOver<'_>> = Vec::new();
        for (file, rule) in own.chain(built_in) {
            match consider(rule, facts) {
                Ok(count) => return decide((file, rule), count, facts, &passed_over),
                Err(why) => passed_over.extend(why),
            }
        }
        decide((None, self.table.last_resort()), 0, facts, &passed_over)
    }
}

/// A rule that did not decide.
#[derive(Debug)]
enum PassedOver<'a> {
    /// What it recognises is not there.
    RuledOut { title: &'a str, saw: String },
    /// It is there, but what the rule proposes cannot be done.
    Barred { title: &'a str, why: String },
}

/// The replicas by which to scale if the rule decides, or why it does not, where that is worth a word.
fn consider<'a>(rule: &'a Rule, facts: Facts<'_>) -> Result<u32, Option<PassedOver<'a>>> {
    let title = &rule.title;
    for condition in &rule.when {
        let check = condition.check(facts);
        if !check.holds {
            let worth = !condition.is_second_choice();
            return Err(worth.then_some(PassedOver::RuledOut {
                title,
                saw: check.saw,
            }));
        }
    }
    possible::possible(rule.action, rule.replica_count, facts)
        .map_err(|why| Some(PassedOver::Barred { title, why }))
}

fn decide(
    (file, rule): (Option<&str>, &Rule),
    count: u32,
    facts: Facts<'_>,
    passed_over: &[PassedOver<'_>],
) -> Finding {
    let mut account = words::observations(facts);
    account.extend(words::contradiction(facts));
    account.extend(words::considered(passed_over));
    let mut confidence = rule.confidence;
    let root_cause = words::fill(&rule.root_cause, facts, count);
    let mut justification = words::fill(&rule.justification, facts, count);
    if let Some(recalled) = nearest(facts.case) {
        if recalled.entry.action != rule.action || rule.action == Action::Noop {
            account.push(words::does_not_fit(recalled));
        } else if recalled.entry.outcomes.successes == 0 {
            account.push(words::unsettled(recalled));
        } else {
            confidence = confidence.max((confidence + LIFT.0 * weight(recalled)).min(LIFT.1));
            justification.push_str(&format!(" {}", words::recollection(recalled)));
        }
    }
    account.extend(discredited(facts.case).map(words::discredit));
    let sure = confidence * 100.0;
    let step = match rule.action {
        Action::ScaleUp | Action::ScaleDown => format!("{} by {count}", rule.action),
        Action::Restart | Action::Rollback | Action::Noop => rule.action.to_string(),
    };
    let name = match file {
        Some(file) => format!("{} ({file})", rule.name),
        None => rule.name.clone(),
    };
    if file.is_some() {
        account.push(format!("This is what the rule {name} is for."));
    }
    account.push(format!("{root_cause} {justification}"));
    account.push(format!("So I propose {step}, {sure:.0} % sure."));
    Finding {
        rule: name,
        proposal: Proposal {
            root_cause: bound(&root_cause, 2000),
            action: rule.action,
            justification: bound(&justification, 4000),
            confidence,
            replica_count: count,
        },
        reasoning: bound(&redact(&account.join("\n")), REASONING),
    }
}

/// What this evidence shows as wrong, apart from any rule of a person's own.
pub fn symptoms_of(evidence: &Evidence) -> Vec<Symptom> {
    let case = Case {
        evidence: evidence.clone(),
        ..Case::sample()
    };
    Facts::of(&case).evident().into_iter().take(SYMPTOMS).collect()
}

/// The recalled entry that weighs most, of those whose fix may be recommended.
fn nearest(case: &Case) -> Option<&Recalled> {
    case.recalled
        .iter()
        .filter(|recalled| recalled.entry.is_recommended())
        .max_by(|a, b| weight(a).total_cmp(&weight(b)))
}

/// The recalled entries whose fix keeps failing: they speak for nothing.
fn discredited(case: &Case) -> impl Iterator<Item = &Recalled> {
    let recalled = case.recalled.iter();
    recalled.filter(|recalled| !recalled.entry.is_recommended())
}

/// Similarity × trust, brought into 0 to 1.
fn weight(recalled: &Recalled) -> f64 {
    let product = recalled.score * recalled.trust;
    if product.is_finite() {
        product.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests;
