//! What a model is given. Owns the messages, their hash, and the templates they are made from; the words are in files
//! (`prompts/*.tera`), which a person can put others in place of. Reads those files once, when the brain is made; after
//! that pure: the same case gives the same prompt.
//!
//! Logs and alerts are hostile. Everything from outside is redacted, bounded and stripped of control characters, and is
//! either quoted as a JSON string on one line or stands between fences that it cannot know.

mod fence;
mod log;
mod view;

use std::path::{Path, PathBuf};

use aegis_api::proposal::{Action, Proposal, Seat, Vote};
use aegis_template::Templates;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer::Fault;
use crate::case::Case;
use view::{LEVELS, View};

/// Logs get at least this part of a prompt, as long as anything else can be shortened for it.
const LEAST_OF_LOGS: usize = 10;
/// How often the logs are shortened to fit: each time takes about half of what is too much.
const FITTINGS: usize = 12;
/// The templates that come along, by the name under which a folder can hold another.
const EMBEDDED: [(&str, &str); 6] = [
    ("analysis.tera", include_str!("../prompts/analysis.tera")),
    (
        "security_officer.tera",
        include_str!("../prompts/security_officer.tera"),
    ),
    ("auditor.tera", include_str!("../prompts/auditor.tera")),
    ("case.tera", include_str!("../prompts/case.tera")),
    ("review.tera", include_str!("../prompts/review.tera")),
    ("repair.tera", include_str!("../prompts/repair.tera")),
];

/// Most characters of a model's own answer that it is shown again when it must correct it.
const ANSWER_AGAIN: usize = 6000;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) content: String,
}

/// A conversation that the model is to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt(Vec<Message>);

impl Prompt {
    /// Rules for the model, and what it is asked.
    pub(crate) fn new(system: String, user: String) -> Self {
        let message = |role, content| Message { role, content };
        Self(vec![message(Role::System, system), message(Role::User, user)])
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.0
    }

    /// Length of all its texts.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|message| message.content.len()).sum()
    }

    /// SHA-256 over all messages, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for message in &self.0 {
            hasher.update(
                u64::try_from(message.content.len())
                    .unwrap_or(u64::MAX)
                    .to_be_bytes(),
            );
            hasher.update(&message.content);
        }
        fence::hex(&hasher.finalize())
    }
}

/// Why prompts cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The folder, or a template in it, cannot be read.
    #[error("cannot read prompt templates in {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A template is broken.
    #[error("prompt template {name} is broken")]
    Template {
        /// The template.
        name: &'static str,
        /// What is wrong with it.
        source: tera::Error,
    },
}

/// The templates, ready to use.
#[derive(Debug)]
pub(crate) struct Prompts(Templates);

impl Prompts {
    /// The embedded templates; those of the same name in `folder` take their place.
    pub(crate) fn load(folder: Option<&Path>) -> Result<Self, PromptError> {
        if let Some(folder) = folder {
            // A folder that is not there is a mistake in its name, and not a wish for the embedded ones.
            std::fs::read_dir(folder).map_err(|source| PromptError::Read {
                path: folder.to_owned(),
                source,
            })?;
        }
        let mut templates = Templates::default();
        for (name, embedded) in EMBEDDED {
            let own = folder
                .map(|folder| read(&folder.join(name)))
                .transpose()?
                .flatten();
            let text = own.as_deref().unwrap_or(embedded);
            templates
                .add(name, text)
                .map_err(|source| PromptError::Template { name, source })?;
        }
        let prompts = Self(templates);
        // The embedded ones are rendered by the tests; what it takes to render stays in memory.
        if folder.is_some() {
            prompts.check()?;
        }
        Ok(prompts)
    }

    /// Renders everything once, so that a template of a person's own that names what there is not is refused when the
    /// brain is made, and not when it is needed.
    fn check(&self) -> Result<(), PromptError> {
        let case = Case::sample();
        let proposal = Proposal {
            root_cause: "r".to_owned(),
            action: Action::Noop,
            justification: "j".to_owned(),
            confidence: 1.0,
            replica_count: 0,
        };
        let asked = self.analysis(&case, 10_000)?;
        self.repair(&asked, "", &[])?;
        for seat in [Seat::SecurityOfficer, Seat::Auditor] {
            self.review(seat, &case, &proposal, &[], 10_000)?;
        }
        Ok(())
    }

    /// What the analyst is asked, in at most `chars` characters.
    pub(crate) fn analysis(&self, case: &Case, chars: usize) -> Result<Prompt, PromptError> {
        let system = self.render("analysis.tera", &tera::Context::new())?;
        let room = chars.saturating_sub(system.chars().count());
        let user = self.sized("case.tera", case, None, room)?;
        Ok(Prompt::new(system, user))
    }

    /// What a reviewer is asked about a proposal, with the reviews before it in view.
    pub(crate) fn review(
        &self,
        seat: Seat,
        case: &Case,
        proposal: &Proposal,
        earlier: &[Vote],
        chars: usize,
    ) -> Result<Prompt, PromptError> {
        let name = match seat {
            Seat::SreAgent | Seat::SecurityOfficer => "security_officer.tera",
            Seat::Auditor => "auditor.tera",
        };
        let system = self.render(name, &tera::Context::new())?;
        let room = chars.saturating_sub(system.chars().count());
        let user = self.sized("review.tera", case, Some((proposal, earlier)), room)?;
        Ok(Prompt::new(system, user))
    }

    /// The conversation so far, the model's answer, and what is wrong with it.
    pub(crate) fn repair(
        &self,
        asked: &Prompt,
        answer: &str,
        faults: &[Fault],
    ) -> Result<Prompt, PromptError> {
        let mut context = tera::Context::new();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        context.insert("faults", &faults);
        let content = self.render("repair.tera", &context)?;
        let mut messages = asked.0.clone();
        let answer: String = answer.chars().take(ANSWER_AGAIN).collect();
        messages.extend([
            Message {
                role: Role::Assistant,
                content: answer,
            },
            Message {
                role: Role::User,
                content,
            },
        ]);
        Ok(Prompt(messages))
    }

    /// Renders with as much of the case as fits: what matters less is shortened first, and the logs get what is left.
    fn sized(
        &self,
        name: &'static str,
        case: &Case,
        review: Option<(&Proposal, &[Vote])>,
        chars: usize,
    ) -> Result<String, PromptError> {
        let mut text = String::new();
        for level in LEVELS {
            let mut room = 0;
            let view = |room| View::of(case, level, review, room);
            text = self.case(name, &view(room))?;
            let facts = text.chars().count();
            if facts > chars.saturating_mul(3) / 4 && !level.is_last() {
                continue;
            }
            room = chars.saturating_sub(facts);
            // Frames and counts of the lines take room as well; how much, only rendering shows.
            let mut fits = false;
            for _ in 0..FITTINGS {
                let with_logs = self.case(name, &view(room))?;
                let length = with_logs.chars().count();
                if length <= chars {
                    (text, fits) = (with_logs, true);
                    break;
                }
                room = room.saturating_sub(length - chars + 16);
            }
            // Logs squeezed to nothing are worth less than the containers whose frames they made room for.
            if (fits && room >= chars / LEAST_OF_LOGS) || level.is_last() {
                break;
            }
        }
        Ok(text.chars().take(chars).collect())
    }

    fn case(&self, name: &'static str, view: &View) -> Result<String, PromptError> {
        let broken = |source| PromptError::Template { name, source };
        let context = tera::Context::from_serialize(view).map_err(broken)?;
        self.render(name, &context)
    }

    fn render(&self, name: &'static str, context: &tera::Context) -> Result<String, PromptError> {
        self.0
            .render(name, context)
            .map_err(|source| PromptError::Template { name, source })
    }
}

fn read(path: &Path) -> Result<Option<String>, PromptError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PromptError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
