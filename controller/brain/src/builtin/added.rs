//! Rules that a person adds: one file of them, read and judged. Owns what an error says, so that it can be acted on. Pure:
//! the caller, who reads the folder, brings name and text.

use aegis_api::yaml::{Document, Position, parse};

use super::rules::{Rule, problem};

/// Longest name of a rule, in characters.
const NAME: usize = 64;

/// The rules of one file, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleFile {
    name: String,
    rules: Vec<Rule>,
}

/// Why a file of rules cannot be in force. Display: file, line, column, field, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}", .faults.join("; "))]
pub struct RuleFileError {
    file: String,
    faults: Vec<String>,
}

impl RuleFile {
    /// Reads a file; `name` is how people know it, such as `rules/night.yaml`.
    pub fn parse(name: &str, text: &str) -> Result<Self, RuleFileError> {
        match read(text) {
            Ok(rules) => Ok(Self {
                name: name.to_owned(),
                rules,
            }),
            Err(faults) => Err(RuleFileError {
                file: name.to_owned(),
                faults,
            }),
        }
    }

    /// How people know the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

fn read(text: &str) -> Result<Vec<Rule>, Vec<String>> {
    let mut documents = parse(text).map_err(|error| vec![error.to_string()])?;
    let document = match (documents.pop(), documents.pop()) {
        (None, _) => return Ok(Vec::new()),
        (Some(document), None) => document,
        (Some(second), Some(_)) => {
            return Err(vec![located(
                &second,
                "",
                "write all rules into one document, as one list",
            )]);
        }
    };
    let rules: Vec<Rule> = serde_path_to_error::deserialize(document.value.clone()).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { &path };
        vec![located(&document, path, &error.inner().to_string())]
    })?;
    let mut faults = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let mut fault = |field: &str, what: &str| {
            faults.push(located(&document, &format!("[{at}].{field}"), what));
        };
        if rule.name.trim().is_empty() || rule.name.chars().count() > NAME {
            fault("name", &format!("give it a name of 1 to {NAME} characters"));
        }
        if rules.iter().take(at).any(|earlier| earlier.name == rule.name) {
            fault(
                "name",
                &format!(
                    "{:?} is taken in this file: give each rule a name of its own",
                    rule.name
                ),
            );
        }
        if let Err(problem) = problem(rule, false) {
            fault(problem.field, &format!("rule {:?} {}", rule.name, problem.what));
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

fn located(document: &Document, field: &str, what: &str) -> String {
    let start = Position { line: 1, column: 1 };
    let Position { line, column } = document.position(field).unwrap_or(start);
    let field = if field.is_empty() {
        String::new()
    } else {
        format!("{field}: ")
    };
    format!("line {line}, column {column}: {field}{what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "
- name: night
  title: the night batch
  when:
    - cpuPercent: {atLeast: 50}
  action: NOOP
  confidence: 0.9
  rootCause: it is busy
  justification: it will pass
";

    fn refused(from: &str, to: &str) -> String {
        assert!(SOUND.contains(from));
        RuleFile::parse("rules/a.yaml", &SOUND.replace(from, to))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_error_names_file_line_column_field_and_what_is_allowed() {
        for (from, to, error) in [
            (
                "atLeast",
                "atLeas",
                "rules/a.yaml: line 5, column 20: [0].when[0].cpuPercent.atLeas: unknown field `atLeas`, expected `atLeast` or `below`",
            ),
            (
                "NOOP",
                "DELETE",
                "rules/a.yaml: line 6, column 3: [0].action: unknown variant `DELETE`, expected one of `RESTART`, `SCALE_UP`, `SCALE_DOWN`, `ROLLBACK`, `NOOP`",
            ),
            (
                "0.9",
                "1.9",
                "rules/a.yaml: line 7, column 3: [0].confidence: rule \"night\" has a confidence of 1.9: use a number from 0 to 1",
            ),
            (
                "cpuPercent: {atLeast: 50}",
                "alert: [cpu]",
                "rules/a.yaml: line 4, column 3: [0].when: rule \"night\" asks nothing of the evidence: an alert's words alone decide nothing",
            ),
            (
                "it is busy",
                "'{missing}'",
                "rules/a.yaml: line 8, column 3: [0].rootCause: rule \"night\" uses the placeholder {missing}, which does not exist",
            ),
            (
                "  title: the night batch\n",
                "",
                "rules/a.yaml: line 2, column 3: [0]: missing field `title`",
            ),
        ] {
            assert_eq!(refused(from, to), error);
        }
        assert!(
            refused("cpuPercent", "moon").contains("unknown variant `moon`, expected one of `oomKilled`")
        );
        assert!(refused("- name: night", "- name: [").contains("rules/a.yaml: line "));
        let twice = RuleFile::parse("rules/a.yaml", &SOUND.repeat(2))
            .unwrap_err()
            .to_string();
        assert!(
            twice.contains("line 11, column 3: [1].name: \"night\" is taken"),
            "{twice}"
        );
    }

    #[test]
    fn a_file_without_rules_is_no_error() {
        assert_eq!(
            RuleFile::parse("rules/a.yaml", "# to come\n").unwrap().rules(),
            []
        );
    }
}
