//! What a command is about: `KIND`, `KIND NAME…`, `KIND/NAME…`, `a,b`, `all`. Pure.

use aegis_api::scalar::ResourceName;
use aegis_api::{KINDS, KindInfo};

use crate::error::CliError;

/// One object.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) info: &'static KindInfo,
    pub(crate) name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.info.singular, self.name)
    }
}

/// Whole kinds, or objects by name.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    Kinds(Vec<&'static KindInfo>),
    Objects(Vec<Target>),
}

/// Reads the positional arguments of a command.
pub(crate) fn select(args: &[String]) -> Result<Selection, CliError> {
    let Some((first, names)) = args.split_first() else {
        return Err(CliError::Usage(format!(
            "say what: KIND, KIND NAME or KIND/NAME. {}",
            known()
        )));
    };
    if args.iter().any(|arg| arg.contains('/')) {
        return args
            .iter()
            .map(|arg| slashed(arg))
            .collect::<Result<_, _>>()
            .map(Selection::Objects);
    }
    let kinds = kinds(first)?;
    if names.is_empty() {
        return Ok(Selection::Kinds(kinds));
    }
    let mut targets = Vec::new();
    for info in kinds {
        for name in names {
            targets.push(Target {
                info,
                name: checked(name)?,
            });
        }
    }
    Ok(Selection::Objects(targets))
}

/// Reads arguments that must name objects.
pub(crate) fn objects(args: &[String]) -> Result<Vec<Target>, CliError> {
    match select(args)? {
        Selection::Objects(targets) => Ok(targets),
        Selection::Kinds(_) => Err(CliError::Usage(format!(
            "name an object: {0} NAME or {0}/NAME",
            args.join(" ")
        ))),
    }
}

/// Reads arguments that must name one object. `default_kind` stands in where only a name is given.
pub(crate) fn object(args: &[String], default_kind: Option<&str>) -> Result<Target, CliError> {
    let targets = match (args, default_kind) {
        ([name], Some(kind)) if !name.contains('/') => objects(&[kind.to_owned(), name.clone()])?,
        _ => objects(args)?,
    };
    match <[Target; 1]>::try_from(targets) {
        Ok([target]) => Ok(target),
        Err(targets) => Err(CliError::Usage(format!("name one object, not {}", targets.len()))),
    }
}

/// As [`object`], and it must be of this kind.
pub(crate) fn object_of(args: &[String], kind: &str) -> Result<Target, CliError> {
    let target = object(args, Some(kind))?;
    if target.info.kind == kind {
        return Ok(target);
    }
    Err(CliError::Usage(format!(
        "{target} is of kind {}: this works on kind {kind}",
        target.info.kind
    )))
}

fn slashed(arg: &str) -> Result<Target, CliError> {
    let refuse = || CliError::Usage(format!("{arg:?}: name each object as KIND/NAME"));
    let (kind, name) = arg.split_once('/').ok_or_else(refuse)?;
    match kinds(kind)?.as_slice() {
        [info] => Ok(Target {
            info,
            name: checked(name)?,
        }),
        _ => Err(refuse()),
    }
}

/// A name is a segment of a URL: one that could mean another URL goes no further.
fn checked(name: &str) -> Result<String, CliError> {
    match name.parse::<ResourceName>() {
        Ok(name) => Ok(name.into()),
        Err(error) => Err(CliError::Usage(format!("name {error}"))),
    }
}

fn kinds(text: &str) -> Result<Vec<&'static KindInfo>, CliError> {
    let mut out: Vec<&'static KindInfo> = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let found: Vec<&'static KindInfo> = match aegis_api::kinds::find(strip_group(word)) {
            Some(info) => vec![info],
            None => KINDS
                .iter()
                .filter(|info| info.categories.iter().any(|category| category == word))
                .collect(),
        };
        if found.is_empty() {
            return Err(CliError::Usage(format!("there is no kind {word:?}. {}", known())));
        }
        for info in found {
            if !out.iter().any(|other| other.kind == info.kind) {
                out.push(info);
            }
        }
    }
    Ok(out)
}

/// kubectl prints `workload.aegisops.io/web`; what it prints can be pasted here.
fn strip_group(word: &str) -> &str {
    word.strip_suffix(aegis_api::GROUP)
        .and_then(|word| word.strip_suffix('.'))
        .unwrap_or(word)
}

fn known() -> String {
    let names = KINDS.iter().map(|info| match info.short_names.first() {
        Some(short) => format!("{} ({short})", info.plural),
        None => info.plural.to_owned(),
    });
    format!("Kinds are {}, and `all`.", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        match select(&args) {
            Ok(Selection::Kinds(kinds)) => kinds.iter().map(|info| info.plural).collect::<Vec<_>>().join(" "),
            Ok(Selection::Objects(targets)) => targets
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("error {}: {error}", error.exit_code()),
        }
    }

    #[test]
    fn every_spelling_of_a_selection_is_understood() {
        assert_eq!(shown(&["wl"]), "workloads");
        assert_eq!(shown(&["wl,inc"]), "workloads incidents");
        assert_eq!(shown(&["all"]), "workloads loadbalancers incidents");
        assert_eq!(shown(&["aegis,wl"]).split(' ').count(), 8);
        assert_eq!(shown(&["wl", "a", "b"]), "workload/a workload/b");
        assert_eq!(shown(&["wl/a", "Incident/b"]), "workload/a incident/b");
        assert_eq!(shown(&["workload.aegisops.io/a"]), "workload/a");
    }

    #[test]
    fn what_is_not_understood_says_what_is() {
        assert!(shown(&["pods"]).contains("error 2: there is no kind \"pods\". Kinds are workloads (wl)"));
        assert!(shown(&[]).contains("say what"));
        assert!(shown(&["wl/a", "b"]).contains("\"b\": name each object as KIND/NAME"));
        assert!(shown(&["all/a"]).contains("KIND/NAME"));
    }

    #[test]
    fn a_name_that_could_mean_another_url_is_refused() {
        for name in ["..", "a/b", "", "a?x=y", "A b"] {
            assert!(shown(&["wl", name]).contains("error 2"), "{name}");
        }
        assert!(shown(&["wl/.."]).contains("error 2"));
    }

    #[test]
    fn one_object_of_one_kind_may_be_named_without_its_kind() {
        let args = ["web".to_owned()];
        assert_eq!(object_of(&args, "Workload").unwrap().to_string(), "workload/web");
        assert!(
            object_of(&["inc/x".to_owned()], "Workload")
                .unwrap_err()
                .to_string()
                .contains("kind Incident")
        );
        assert!(object(&args, None).is_err());
    }
}
