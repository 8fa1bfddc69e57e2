//! Reads an answer document by document, whatever its server speaks. Owns what all of them share: frames, keep-alives,
//! errors in the middle, what comes after the end, and what came in the place of an answer. What a document says is its
//! [`Dialect`]'s business. Pure but for the sink.

use super::frames::{Frames, described};
use super::http::error_text;
use super::lines::TooLong;
use super::node::Node;
use super::said::Said;
use super::sse::Event;
use super::stream::{LONGEST_LINE, Progress, Protocol};
use super::{Completion, ProviderError, Request, Sink};

/// What the documents of one kind of server say.
pub(super) trait Dialect {
    /// Takes a document in. `Ended` where it says that nothing more comes.
    fn document(&mut self, node: &Node, said: &mut Said<'_>, sink: Sink<'_>) -> Result<Progress, Trouble>;
}

/// Why a document is not taken in.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not what the protocol says.
    Odd(String),
    /// Something else, such as a bound.
    Other(ProviderError),
}

impl From<ProviderError> for Trouble {
    fn from(error: ProviderError) -> Self {
        Self::Other(error)
    }
}

/// Makes a text from outside fit to be shown.
pub(super) type Harmless<'a> = &'a (dyn Fn(&str) -> String + Send + Sync);

/// An answer that is coming in.
pub(super) struct Reading<'a, D> {
    dialect: D,
    harmless: Harmless<'a>,
    frames: Frames,
    said: Said<'a>,
    done: bool,
    /// Whether a document came before the one that the end of the stream completes.
    several: bool,
    /// The fields of the last document that said nothing.
    mute: Option<String>,
}

impl<'a, D: Dialect> Reading<'a, D> {
    pub(super) fn new(request: Request<'a>, harmless: Harmless<'a>, dialect: D) -> Self {
        Self {
            dialect,
            harmless,
            frames: Frames::new(LONGEST_LINE),
            said: Said::new(request),
            done: false,
            several: false,
            mute: None,
        }
    }

    fn event(&mut self, event: &Event, sink: Sink<'_>) -> Result<Progress, ProviderError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(Progress::Ended);
        }
        if data.is_empty() || is_ping(event) {
            return Ok(Progress::Quiet);
        }
        let broken = |why: &str| ProviderError::Stream((self.harmless)(why));
        let garbage = |why: String| ProviderError::Garbage((self.harmless)(&format!("{why} in {data}")));
        if event.kind == "error" {
            return Err(broken(error_text(data.as_bytes()).as_deref().unwrap_or(data)));
        }
        let node = Node::read(data).map_err(|error| garbage(error.to_string()))?;
        if !node.is_map() {
            return Err(garbage("no object".to_owned()));
        }
        if node.get("error").is_some() {
            return Err(broken(error_text(data.as_bytes()).as_deref().unwrap_or(data)));
        }
        let progress = match self.dialect.document(&node, &mut self.said, sink) {
            Ok(progress) => progress,
            Err(Trouble::Odd(why)) => return Err(garbage(why)),
            Err(Trouble::Other(error)) => return Err(error),
        };
        self.done |= progress == Progress::Ended;
        if progress == Progress::Quiet {
            self.mute = Some(node.names().join(", "));
        }
        Ok(progress)
    }
}

/// Whether an event says no more than that the server is still there: an answer is an object.
fn is_ping(event: &Event) -> bool {
    let data = event.data.trim();
    let named = !matches!(event.kind.as_str(), "message" | "error");
    let word = data
        .trim_matches(|c: char| !c.is_alphanumeric())
        .to_ascii_lowercase();
    named && !data.starts_with('{')
        || matches!(
            word.as_str(),
            "ping" | "keepalive" | "keep-alive" | "heartbeat" | "processing"
        )
}

impl<D: Dialect> Protocol for Reading<'_, D> {
    fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<Progress, ProviderError> {
        let framed = match self.frames.push(bytes) {
            Ok(framed) => framed,
            // Whatever comes after the answer is complete no longer matters.
            Err(_) if self.is_complete() => return Ok(Progress::Ended),
            Err(TooLong(most)) => return Err(ProviderError::TooLong(most)),
        };
        self.said.waiting(self.frames.waiting())?;
        let mut progress = if framed.partial {
            Progress::Spoke
        } else {
            Progress::Quiet
        };
        self.several |= !framed.events.is_empty();
        for event in framed.events {
            match self.event(&event, &mut *sink) {
                Err(_) if self.is_complete() => return Ok(Progress::Ended),
                Err(error) => return Err(error),
                Ok(Progress::Quiet) => {}
                Ok(Progress::Spoke) => progress = Progress::Spoke,
                Ok(Progress::Ended) => return Ok(Progress::Ended),
            }
        }
        Ok(progress)
    }

    fn is_complete(&self) -> bool {
        self.done || self.said.is_finished()
    }

    fn finish(mut self, sink: Sink<'_>) -> Result<Completion, ProviderError> {
        if let Some(instead) = self.frames.instead() {
            return Err(ProviderError::NoModel((self.harmless)(&described(instead))));
        }
        let whole = self.frames.waiting() > 0;
        if !self.is_complete() {
            for event in self.frames.finish() {
                match self.event(&event, &mut *sink) {
                    Ok(_) => {}
                    // A piece that the end of the stream cut in two.
                    Err(ProviderError::Garbage(_)) if !whole => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if let Some(fields) = self.mute.filter(|_| self.said.is_foreign()) {
            let why = format!("an object with the fields {fields}, which is no answer of this protocol");
            return Err(ProviderError::Garbage((self.harmless)(&why)));
        }
        // A document that is the whole answer is over where it ends, whether it says why or not.
        let ended = self.done || whole && !self.several;
        self.said.conclude(ended, self.harmless, sink)
    }
}
