//! The table of rules: reads it and refuses one that could mislead. Owns the rules' shape. Pure; the table is embedded.

use serde::Deserialize;

use aegis_api::proposal::Action;
use aegis_api::yaml;

use super::condition::Condition;
use super::words;

const EMBEDDED: &str = include_str!("rules.yaml");

/// One rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name, on record as the analysis' model.
    pub name: String,
    /// What it recognises, as it stands after "It is not".
    pub title: String,
    /// What must hold, all of it. Empty in the last rule only.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// What it proposes.
    pub action: Action,
    /// For SCALE_UP and SCALE_DOWN: by how many, bounds permitting.
    #[serde(default)]
    pub replica_count: u32,
    /// 0 to 1.
    pub confidence: f64,
    /// Template of the root cause.
    pub root_cause: String,
    /// Template of the justification.
    pub justification: String,
}

/// Why a table is refused.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not YAML.
    #[error("the table is not YAML")]
    Syntax(#[source] yaml::SyntaxError),
    /// Not a list of rules.
    #[error("the table is no list of rules")]
    Shape(#[source] serde_json::Error),
    /// No rule at all, or not one document.
    #[error("the table must be one document with at least one rule")]
    Empty,
    /// A rule that could mislead.
    #[error("rule {name:?} {problem}")]
    Rule {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Rules, best first, and the one that always holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    rules: Vec<Rule>,
    last_resort: Rule,
}

impl Table {
    /// The table that is built in.
    pub fn embedded() -> Result<Self, TableError> {
        Self::parse(EMBEDDED)
    }

    /// Reads a table.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut documents = yaml::parse(text).map_err(TableError::Syntax)?;
        let (Some(document), true) = (documents.pop(), documents.is_empty()) else {
            return Err(TableError::Empty);
        };
        let mut rules: Vec<Rule> = serde_json::from_value(document.value).map_err(TableError::Shape)?;
        let last_resort = rules.pop().ok_or(TableError::Empty)?;
        for rule in &rules {
            check(rule, false)?;
        }
        check(&last_resort, true)?;
        Ok(Self { rules, last_resort })
    }

    /// The rules that have conditions, best first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule for when no other holds.
    pub fn last_resort(&self) -> &Rule {
        &self.last_resort
    }
}

fn check(rule: &Rule, last: bool) -> Result<(), TableError> {
    problem(rule, last).map_err(|problem| TableError::Rule {
        name: rule.name.clone(),
        problem: problem.what,
    })
}

/// What is wrong with a rule, as it stands after the rule's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The field that is to be changed.
    pub(super) field: &'static str,
    /// What is wrong.
    pub(super) what: String,
}

/// Whether a rule could mislead; the `last` of a table must always hold.
pub(super) fn problem(rule: &Rule, last: bool) -> Result<(), Problem> {
    let refuse = |field: &'static str, what: String| Err(Problem { field, what });
    if last && (!rule.when.is_empty() || rule.action != Action::Noop) {
        return refuse(
            "when",
            "comes last: it must have no conditions and propose NOOP".to_owned(),
        );
    }
    if !last && !rule.when.iter().any(Condition::is_evidence) {
        return refuse(
            "when",
            "asks nothing of the evidence: an alert's words alone decide nothing".to_owned(),
        );
    }
    if !(0.0..=1.0).contains(&rule.confidence) {
        return refuse(
            "confidence",
            format!(
                "has a confidence of {}: use a number from 0 to 1",
                rule.confidence
            ),
        );
    }
    if matches!(rule.action, Action::ScaleUp | Action::ScaleDown) != (rule.replica_count > 0) {
        return refuse(
            "replicaCount",
            "must have a replicaCount if, and only if, it scales".to_owned(),
        );
    }
    let templates = [
        ("rootCause", &rule.root_cause),
        ("justification", &rule.justification),
    ];
    for (field, template) in templates {
        if let Some(name) = words::unknown_placeholder(template) {
            return refuse(
                field,
                format!("uses the placeholder {{{name}}}, which does not exist"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(extra: &str) -> String {
        let last = "- {name: last, title: x, action: NOOP, confidence: 0.1, rootCause: x, justification: x}";
        format!("- {{name: it, title: x, rootCause: x, justification: x, {extra}}}\n{last}\n")
    }

    #[test]
    fn the_embedded_table_reads_and_its_names_are_unique() {
        let table = Table::embedded().unwrap();
        let mut names: Vec<&str> = table.rules().iter().map(|rule| rule.name.as_str()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(
            table.last_resort().confidence < 0.6,
            "who does not know must not sound sure"
        );
    }

    #[test]
    fn a_rule_that_only_listens_to_the_alert_is_refused() {
        for when in [
            "[{alert: [memory]}]",
            "[{anyOf: [{alert: [memory]}, {oomKilled: true}]}]",
            "[{gaps: true}]",
            "[]",
        ] {
            let error =
                Table::parse(&rule(&format!("when: {when}, action: RESTART, confidence: 0.9"))).unwrap_err();
            assert!(
                error.to_string().contains("asks nothing of the evidence"),
                "{when}: {error}"
            );
        }
    }

    #[test]
    fn a_broken_rule_is_refused_by_name() {
        for (extra, problem) in [
            (
                "when: [{oomKilled: true}], action: RESTART, confidence: 1.5",
                "confidence of 1.5",
            ),
            (
                "when: [{oomKilled: true}], action: SCALE_UP, confidence: 0.9",
                "replicaCount",
            ),
            (
                "when: [{oomKilled: true}], action: RESTART, replicaCount: 2, confidence: 0.9",
                "replicaCount",
            ),
        ] {
            let error = Table::parse(&rule(extra)).unwrap_err().to_string();
            assert!(error.contains("\"it\"") && error.contains(problem), "{error}");
        }
        let unknown = "- {name: a, title: x, action: NOOP, confidence: 0.1, rootCause: 'x {nothing}', justification: x}";
        assert!(
            Table::parse(unknown)
                .unwrap_err()
                .to_string()
                .contains("{nothing}")
        );
    }

    #[test]
    fn an_unknown_action_or_condition_or_field_is_refused() {
        for extra in [
            "when: [{oomKilled: true}], action: DELETE, confidence: 0.9",
            "when: [{moon: full}], action: RESTART, confidence: 0.9",
            "when: [{oomKilled: true}], action: RESTART, confidence: 0.9, target: other",
        ] {
            assert!(
                matches!(Table::parse(&rule(extra)), Err(TableError::Shape(_))),
                "{extra}"
            );
        }
        assert!(matches!(Table::parse(""), Err(TableError::Empty)));
        assert!(matches!(Table::parse("a: [b"), Err(TableError::Syntax(_))));
    }

    #[test]
    fn the_last_rule_must_hold_always_and_do_nothing() {
        let text = "- {name: a, title: x, action: RESTART, confidence: 0.1, rootCause: x, justification: x}";
        assert!(Table::parse(text).unwrap_err().to_string().contains("comes last"));
    }
}
