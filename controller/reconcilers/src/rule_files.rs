//! The analyst's rules that people keep in `<state>/rules/*.yaml`: notices what they write within a second and gives it to
//! the brain. Owns which version of each file is in force; what a rule means is the brain's. Reads only.
//!
//! The folder is listed twice a second, which costs one system call a file and works on every file system. What is broken
//! or gone counts at the second look only, as an editor may be in the middle of it.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aegis_brain::{Brain, RuleFile};
use aegis_runtime::events::{EventRecorder, EventType, ObjectRef};
use aegis_runtime::store::{BrokenFile, RULES_KIND, Store};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// The folder in the state directory.
const FOLDER: &str = "rules";
/// From one listing to the next; two of them are within a second.
const LOOK: Duration = Duration::from_millis(400);
/// A file that changed so lately may change again without its dates telling.
const FRESH: Duration = Duration::from_secs(2);
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The folder, and what of it is in force.
#[derive(Debug)]
pub struct RuleFiles {
    store: Store,
    events: EventRecorder,
    brain: Arc<Brain>,
    in_force: BTreeMap<String, RuleFile>,
    seen: BTreeMap<String, Seen>,
}

/// How a file stood at the last look.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// Absent: it was gone.
    dates: Option<Dates>,
    /// Whether what it said counted.
    counted: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Dates {
    modified: SystemTime,
    bytes: u64,
}

/// A file as it stands; the text only where it may be news.
type Found = (Dates, Option<Result<String, String>>);

impl RuleFiles {
    /// The rules of this context's state directory, for this brain. Nothing is read yet.
    pub fn new(context: &Context, brain: Arc<Brain>) -> Self {
        Self {
            store: context.store.clone(),
            events: context.events.clone(),
            brain,
            in_force: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Looks again and again until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = looks.tick() => self.rescan().await,
            }
        }
    }

    /// Looks once, and takes over what is good at first or bad at second sight.
    pub async fn rescan(&mut self) {
        let (dir, seen) = (self.store.dir().join(FOLDER), self.seen.clone());
        let found = tokio::task::spawn_blocking(move || list(&dir, &seen)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the folder of rules cannot be read; what is in force stays");
                return;
            }
            // Only when the runtime shuts down.
            Err(_) => return,
        };
        let mut changed = false;
        let gone: Vec<String> = self
            .seen
            .keys()
            .filter(|name| !found.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            if self.seen.get(&name).is_some_and(|seen| seen.dates.is_none()) {
                self.seen.remove(&name);
                changed |= self.in_force.remove(&name).is_some();
                self.store.forget_broken(&self.path(&name));
            } else {
                self.note(&name, None, false);
            }
        }
        for (name, (dates, text)) in found {
            if let Some(text) = text {
                changed |= self.judge(&name, dates, text);
            }
        }
        if changed {
            self.brain.set_rules(self.in_force.values().cloned());
        }
    }

    /// Whether something else is in force now.
    fn judge(&mut self, name: &str, dates: Dates, text: Result<String, String>) -> bool {
        let shown = format!("{FOLDER}/{name}");
        let read = text.and_then(|text| RuleFile::parse(&shown, &text).map_err(|error| error.to_string()));
        let file = match read {
            Ok(file) => file,
            Err(message) => {
                let before = self.seen.get(name).and_then(|seen| seen.dates.as_ref());
                let again = before == Some(&dates);
                self.note(name, Some(dates), again);
                if again {
                    self.broken(name, &message);
                }
                return false;
            }
        };
        self.note(name, Some(dates), true);
        if self.store.forget_broken(&self.path(name)) {
            let message = format!("{shown} is valid again and in force");
            self.events
                .record(&about(name), EventType::Normal, "FileRepaired", message);
        }
        if self.in_force.get(name) == Some(&file) {
            return false;
        }
        tracing::info!("{shown}: {} rules are in force", file.rules().len());
        self.in_force.insert(name.to_owned(), file);
        true
    }

    fn note(&mut self, name: &str, dates: Option<Dates>, counted: bool) {
        self.seen.insert(name.to_owned(), Seen { dates, counted });
    }

    fn broken(&self, name: &str, message: &str) {
        let file = BrokenFile {
            path: self.path(name),
            kind: RULES_KIND.to_owned(),
            name: name.to_owned(),
            message: message.to_owned(),
        };
        if self.store.report_broken(file) {
            let consequence = if self.in_force.contains_key(name) {
                "its last good version stays in force"
            } else {
                "nothing of it is in force"
            };
            let message = format!("{message} ({consequence})");
            self.events
                .record(&about(name), EventType::Warning, "InvalidFile", message);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.dir().join(FOLDER).join(name)
    }
}

fn about(name: &str) -> ObjectRef {
    ObjectRef {
        kind: RULES_KIND.to_owned(),
        name: name.to_owned(),
        uid: String::new(),
    }
}

/// The files of the folder; none where the folder is missing, unless the whole state directory is.
fn list(dir: &Path, seen: &BTreeMap<String, Seen>) -> io::Result<BTreeMap<String, Found>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let state = dir.parent().unwrap_or(dir).join(".instance-id");
            return if state.exists() {
                Ok(BTreeMap::new())
            } else {
                Err(error)
            };
        }
        Err(error) => return Err(error),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || !name.ends_with(".yaml") {
            continue;
        }
        // Follows links; what is gone by now is found gone at the next look.
        let Ok(meta) = std::fs::metadata(entry.path()) else {
            continue;
        };
        let dates = Dates {
            modified: meta.modified()?,
            bytes: meta.len(),
        };
        let known = seen
            .get(&name)
            .is_some_and(|seen| seen.counted && seen.dates.as_ref() == Some(&dates));
        let fresh = dates.modified.elapsed().is_ok_and(|age| age < FRESH);
        let text = (!known || fresh).then(|| read(&entry.path(), &name, &meta));
        found.insert(name, (dates, text));
    }
    Ok(found)
}

fn read(path: &Path, name: &str, meta: &std::fs::Metadata) -> Result<String, String> {
    if !meta.is_file() {
        return Err(format!(
            "{FOLDER}/{name}: is no file: put rules into a file, or move it away"
        ));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match file {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes > LONGEST) => Err(format!(
            "{FOLDER}/{name}: has more than {LONGEST} bytes: split it"
        )),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{FOLDER}/{name}: cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests;
