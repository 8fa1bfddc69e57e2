//! A model that follows a script, without any network: for what is decided about answers, and not how they arrive.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::chain::Member;
use crate::prompt::Prompt;
use crate::provider::{Completion, Delta, Provider, ProviderError, Request, Sink, Usage};

/// What the model does when it is asked.
#[derive(Debug, Clone)]
pub(super) enum Say {
    /// Answers.
    Text(String),
    /// Fails.
    Fail(ProviderError),
    /// Does not answer within a minute, or what is left of the budget.
    Hang,
    /// Stops after this time, or when the budget's is over.
    Stall(std::time::Duration),
    /// Answers with the text what mentions this word, and hangs otherwise.
    OnlyAbout(&'static str, String),
}

impl Say {
    /// What it does when it is asked this.
    fn asked(&self, prompt: &Prompt) -> Self {
        match self {
            Self::OnlyAbout(word, answer) => {
                let mut messages = prompt.messages().iter();
                match messages.any(|message| message.content.contains(word)) {
                    true => Self::Text(answer.clone()),
                    false => Self::Hang,
                }
            }
            other => other.clone(),
        }
    }
}

/// The script and what was asked. The last line is given again and again.
#[derive(Debug, Clone)]
pub(super) struct Scripted {
    name: &'static str,
    script: Arc<Vec<Say>>,
    asked: Arc<Mutex<Vec<Prompt>>>,
    models: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(super) fn new(name: &'static str, script: impl IntoIterator<Item = Say>) -> Self {
        Self {
            name,
            script: Arc::new(script.into_iter().collect()),
            asked: Arc::default(),
            models: Arc::default(),
        }
    }

    pub(super) fn asked(&self) -> Vec<Prompt> {
        self.asked.lock().unwrap().clone()
    }

    /// The models that were requested.
    pub(super) fn models(&self) -> Vec<String> {
        self.models.lock().unwrap().clone()
    }

    pub(super) fn member(&self) -> Member {
        Member::new(Box::new(self.clone()), 2, 1000)
    }
}

pub(super) fn text(text: impl Into<String>) -> Say {
    Say::Text(text.into())
}

impl Provider for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn model(&self) -> &str {
        "script"
    }

    fn prompt_chars(&self) -> usize {
        24_000
    }

    fn complete<'a>(
        &'a self,
        request: Request<'a>,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Completion, ProviderError>> {
        async move {
            self.models.lock().unwrap().push(request.model.to_owned());
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(request.prompt.clone());
                asked.len() - 1
            };
            let say = self.script.get(number).or(self.script.last()).unwrap();
            let say = say.asked(request.prompt);
            match say {
                Say::Text(text) => {
                    sink(Delta::Text(&text));
                    Ok(Completion {
                        text,
                        usage: Usage {
                            prompt: 1000,
                            completion: 500,
                        },
                        notes: Vec::new(),
                    })
                }
                Say::Fail(error) => Err(error),
                Say::Hang | Say::OnlyAbout(..) | Say::Stall(_) => {
                    let after = match say {
                        Say::Stall(after) => after,
                        _ => std::time::Duration::from_secs(60),
                    };
                    tokio::time::sleep_until(request.deadline.min(tokio::time::Instant::now() + after)).await;
                    Err(ProviderError::Timeout {
                        stage: crate::provider::Stage::Total,
                        after,
                    })
                }
            }
        }
        .boxed()
    }
}
