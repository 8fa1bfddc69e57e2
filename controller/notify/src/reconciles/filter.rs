//! Which reconciles a webhook is sent: terms such as `kind=Workload,LoadBalancer result=error`. Pure.

use std::str::FromStr;

use aegis_api::KINDS;
use aegis_api::incident::Severity;
use aegis_api::scalar::ResourceName;

use super::ReconcileSeen;

/// The loop that is none of a kind.
const AUTOSCALER: &str = "Autoscaler";
const RESULTS: [&str; 3] = ["success", "requeue", "error"];
/// Most names of workloads.
const MOST: usize = 100;

/// What is sent; a field that is empty leaves nothing out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileFilter {
    kinds: Vec<String>,
    results: Vec<String>,
    /// At least this grave.
    severity: Option<Severity>,
    workloads: Vec<ResourceName>,
}

/// A filter that cannot be read. Names the term and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is no term.
    #[error(
        "{0:?} is no term: use `all`, or some of kind=, result=, severity= and workload=, separated by blanks"
    )]
    Term(String),
    /// A term has a value that does not exist.
    #[error("{term}={value}: use {allowed}")]
    Value {
        /// The term.
        term: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A term comes twice.
    #[error("{0}= comes twice: separate its values by commas")]
    Twice(&'static str),
}

impl ReconcileFilter {
    /// Whether it is sent.
    pub(crate) fn wants(&self, seen: &ReconcileSeen) -> bool {
        let data = &seen.data;
        let has = |all: &[String], value: &str| all.is_empty() || all.iter().any(|one| one == value);
        let mut about = seen.workloads.iter();
        let is_about = self.workloads.is_empty()
            || about.any(|name| self.workloads.iter().any(|one| one.as_str() == name));
        let is_grave = self
            .severity
            .is_none_or(|least| seen.severity.is_some_and(|severity| severity >= least));
        has(&self.kinds, &data.kind) && has(&self.results, &data.result) && is_about && is_grave
    }
}

impl FromStr for ReconcileFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        let terms: Vec<&str> = text.split_whitespace().collect();
        if terms == ["all"] {
            return Ok(filter);
        }
        for term in terms {
            let (name, values) = term.split_once('=').ok_or_else(|| no_term(term))?;
            let values: Vec<&str> = values.split(',').collect();
            match name {
                "kind" => once("kind", &mut filter.kinds, &values, kind)?,
                "result" => once("result", &mut filter.results, &values, result)?,
                "workload" => once("workload", &mut filter.workloads, &values, workload)?,
                "severity" => {
                    let mut one = Vec::from_iter(filter.severity);
                    once("severity", &mut one, &values, severity)?;
                    // Of several the least: what is graver passes, too.
                    filter.severity = one.into_iter().min();
                }
                _ => return Err(no_term(term)),
            }
        }
        Ok(filter)
    }
}

fn no_term(term: &str) -> FilterError {
    FilterError::Term(bounded(term))
}

fn bounded(text: &str) -> String {
    text.chars().take(80).collect()
}

fn once<T>(
    term: &'static str,
    into: &mut Vec<T>,
    values: &[&str],
    read: fn(&str) -> Result<T, String>,
) -> Result<(), FilterError> {
    if !into.is_empty() {
        return Err(FilterError::Twice(term));
    }
    for value in values {
        let read = read(value).map_err(|allowed| FilterError::Value {
            term,
            value: bounded(value),
            allowed,
        })?;
        into.push(read);
    }
    if into.len() > MOST {
        return Err(FilterError::Value {
            term,
            value: format!("{} values", into.len()),
            allowed: format!("at most {MOST} values"),
        });
    }
    Ok(())
}

fn kind(value: &str) -> Result<String, String> {
    // Kinds that only others consult are not reconciled.
    let kinds = KINDS.iter().filter(|info| !info.conditions.is_empty());
    let names: Vec<&str> = kinds.map(|info| info.kind).chain([AUTOSCALER]).collect();
    match names.contains(&value) {
        true => Ok(value.to_owned()),
        false => Err(names.join(", ")),
    }
}

fn result(value: &str) -> Result<String, String> {
    match RESULTS.contains(&value) {
        true => Ok(value.to_owned()),
        false => Err(RESULTS.join(", ")),
    }
}

fn workload(value: &str) -> Result<ResourceName, String> {
    value.parse().map_err(|_| "the name of a Workload".to_owned())
}

fn severity(value: &str) -> Result<Severity, String> {
    match value {
        "info" => Ok(Severity::Info),
        "warning" => Ok(Severity::Warning),
        "critical" => Ok(Severity::Critical),
        _ => Err("info, warning or critical".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::seen;
    use super::*;

    #[test]
    fn every_term_leaves_out_what_it_does_not_name_and_all_of_them_hold() {
        let error = seen("Workload", "web", "error", Some(Severity::Critical));
        let success = seen("Workload", "db", "success", None);
        let incident = seen("Incident", "inc", "success", Some(Severity::Warning));
        for (filter, wanted) in [
            ("all", [true, true, true]),
            ("kind=Workload", [true, true, false]),
            ("kind=Incident,LoadBalancer", [false, false, true]),
            ("result=error", [true, false, false]),
            ("result=success,requeue", [false, true, true]),
            ("severity=warning", [true, false, true]),
            ("severity=critical", [true, false, false]),
            ("workload=web,cache", [true, false, false]),
            (
                "kind=Workload  result=success severity=info",
                [false, false, false],
            ),
        ] {
            let read: ReconcileFilter = filter.parse().unwrap();
            let got = [&error, &success, &incident].map(|seen| read.wants(seen));
            assert_eq!(got, wanted, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_by_the_term_with_what_is_allowed() {
        for (filter, said) in [
            ("everything", "\"everything\" is no term: use `all`"),
            ("all kind=Workload", "\"all\" is no term"),
            ("colour=red", "\"colour=red\" is no term"),
            ("kind=Silence", "kind=Silence: use Workload"),
            ("kind=", "kind=: use Workload"),
            ("result=ok", "result=ok: use success, requeue, error"),
            ("severity=bad", "severity=bad: use info, warning or critical"),
            ("workload=No_Name", "workload=No_Name: use the name of a Workload"),
            ("result=error result=success", "result= comes twice"),
        ] {
            let error = filter.parse::<ReconcileFilter>().unwrap_err().to_string();
            assert!(error.starts_with(said), "{filter}: {error}");
        }
        let many = format!("workload={}", vec!["w"; MOST + 1].join(","));
        assert!(
            many.parse::<ReconcileFilter>()
                .unwrap_err()
                .to_string()
                .contains("at most 100")
        );
    }
}
