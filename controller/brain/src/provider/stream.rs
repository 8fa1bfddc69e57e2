//! Reads an answer as it streams: bounded in time at every stage and in size as a whole. Owns the clock of a call; what
//! the bytes mean is the protocol's business. Does I/O on the stream it is given.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::{Completion, ProviderError, Sink, Stage, Timeouts};

/// Most bytes of one line, and of one event.
pub(super) const LONGEST_LINE: usize = 512 * 1024;
/// Most bytes of an answer, its framing included; how much of that it may say is [`Measure`](super::measure::Measure)'s.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;
/// How long an answer that is complete is waited on for what comes after it, which is only statistics.
const EPILOGUE: std::time::Duration = std::time::Duration::from_secs(2);

/// What the bytes of an answer mean.
pub(super) trait Protocol {
    /// Takes bytes in.
    fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<Progress, ProviderError>;
    /// Whether the answer is complete, whatever else may come.
    fn is_complete(&self) -> bool;
    /// The stream is over; what was not passed on yet goes to `sink`.
    fn finish(self, sink: Sink<'_>) -> Result<Completion, ProviderError>;
}

/// What some bytes were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing of the answer: a keep-alive, half a line.
    Quiet,
    /// A word at least.
    Spoke,
    /// The end.
    Ended,
}

/// When the stages of one call are over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timers {
    started: Instant,
    timeouts: Timeouts,
    total: Instant,
}

impl Timers {
    /// Starts now; everything is over at `deadline` at the latest.
    pub(super) fn start(timeouts: Timeouts, deadline: Instant) -> Self {
        let started = Instant::now();
        Self {
            started,
            timeouts,
            total: deadline.min(started + timeouts.total),
        }
    }

    /// When the first word must be there, and what it means if it is not.
    pub(super) fn first_token(&self) -> (Instant, ProviderError) {
        self.stage(Stage::FirstToken, self.started, self.timeouts.first_token)
    }

    /// As [`first_token`](Self::first_token), for the next word after one that came now.
    fn next_token(&self) -> (Instant, ProviderError) {
        self.stage(Stage::BetweenTokens, Instant::now(), self.timeouts.between_tokens)
    }

    fn stage(&self, stage: Stage, from: Instant, after: std::time::Duration) -> (Instant, ProviderError) {
        let until = from + after;
        if until < self.total {
            return (until, ProviderError::Timeout { stage, after });
        }
        let error = ProviderError::Timeout {
            stage: Stage::Total,
            after: self.total - self.started,
        };
        (self.total, error)
    }
}

/// Reads until the answer is complete.
pub(super) async fn read<S>(
    mut bytes: S,
    mut protocol: impl Protocol,
    timers: Timers,
    sink: Sink<'_>,
) -> Result<Completion, ProviderError>
where
    S: Stream<Item = Result<Bytes, String>> + Unpin,
{
    let mut size = 0_usize;
    let (mut until, mut late) = timers.first_token();
    loop {
        let chunk = match timeout_at(until, bytes.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            // Whatever fails after the answer is complete no longer matters.
            Ok(Some(Err(_))) | Err(_) if protocol.is_complete() => break,
            Ok(Some(Err(why))) => return Err(ProviderError::Stream(why)),
            Err(_) => return Err(late),
        };
        size = size.saturating_add(chunk.len());
        if size > LONGEST_ANSWER {
            return Err(ProviderError::TooLong(LONGEST_ANSWER));
        }
        match protocol.feed(&chunk, sink)? {
            Progress::Quiet => {}
            Progress::Spoke => (until, late) = timers.next_token(),
            Progress::Ended => break,
        }
        if protocol.is_complete() {
            until = until.min(Instant::now() + EPILOGUE);
        }
    }
    protocol.finish(sink)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream::BoxStream;

    use super::*;

    /// `w` is a word, `.` a keep-alive, `e` makes the answer complete, `!` ends it.
    #[derive(Default)]
    struct Letters {
        text: String,
        complete: bool,
    }

    impl Protocol for Letters {
        fn feed(&mut self, bytes: &[u8], _: Sink<'_>) -> Result<Progress, ProviderError> {
            let text = String::from_utf8_lossy(bytes);
            self.text.push_str(&text);
            self.complete |= text.contains('e');
            Ok(match () {
                () if text.contains('!') => Progress::Ended,
                () if text.contains('w') => Progress::Spoke,
                () => Progress::Quiet,
            })
        }

        fn is_complete(&self) -> bool {
            self.complete
        }

        fn finish(self, _: Sink<'_>) -> Result<Completion, ProviderError> {
            Ok(Completion {
                text: self.text,
                ..Completion::default()
            })
        }
    }

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(1),
        first_token: Duration::from_secs(10),
        between_tokens: Duration::from_secs(5),
        total: Duration::from_secs(60),
    };

    /// Pieces, each after so many seconds; the stream stays open after the last one.
    fn open(pieces: &'static [(u64, &'static str)]) -> BoxStream<'static, Result<Bytes, String>> {
        let pieces = futures::stream::iter(pieces).then(|(secs, piece)| async move {
            tokio::time::sleep(Duration::from_secs(*secs)).await;
            Ok(Bytes::from_static(piece.as_bytes()))
        });
        pieces.chain(futures::stream::pending()).boxed()
    }

    /// What came of it, and after how many seconds.
    async fn reads(pieces: &'static [(u64, &'static str)]) -> (Result<String, Stage>, u64) {
        let started = Instant::now();
        let timers = Timers::start(TIMEOUTS, started + Duration::from_secs(3600));
        let result = read(open(pieces), Letters::default(), timers, &mut |_| {}).await;
        let result = result
            .map(|completion| completion.text)
            .map_err(|error| match error {
                ProviderError::Timeout { stage, .. } => stage,
                other => panic!("{other}"),
            });
        (result, started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_its_time() {
        assert_eq!(reads(&[]).await, (Err(Stage::FirstToken), 10));
        assert_eq!(
            reads(&[(9, "w"), (4, "w"), (4, "!")]).await,
            (Ok("ww!".into()), 17)
        );
        assert_eq!(
            reads(&[(9, "w"), (4, "w")]).await,
            (Err(Stage::BetweenTokens), 18)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_keep_alive_is_no_word() {
        assert_eq!(
            reads(&[(4, "."), (4, "."), (4, "w")]).await,
            (Err(Stage::FirstToken), 10)
        );
        assert_eq!(
            reads(&[(1, "w"), (4, "."), (4, "w")]).await,
            (Err(Stage::BetweenTokens), 6)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_drips_ends_with_the_total_time() {
        const DRIP: [(u64, &str); 30] = [(4, "w"); 30];
        assert_eq!(reads(&DRIP).await, (Err(Stage::Total), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_complete_answer_waits_for_statistics_only_a_moment() {
        assert_eq!(reads(&[(1, "w"), (1, "e")]).await, (Ok("we".into()), 4));
        assert_eq!(
            reads(&[(1, "w"), (1, "e"), (1, "s"), (0, "!")]).await,
            (Ok("wes!".into()), 3)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_the_incident_cuts_every_stage_short() {
        let timers = Timers::start(TIMEOUTS, Instant::now() + Duration::from_secs(3));
        let error = read(open(&[]), Letters::default(), timers, &mut |_| {})
            .await
            .unwrap_err();
        let after = Duration::from_secs(3);
        assert_eq!(
            error,
            ProviderError::Timeout {
                stage: Stage::Total,
                after
            }
        );
    }
}
