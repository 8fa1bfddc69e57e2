//! The one reading of the host, for detectors, for the gate of an incident and for display. Does I/O through what the
//! settings name. A file system that does not answer holds one thread at the most, and no reader for long.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::signals::HostSignals;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::context::Context;

/// How long a reading may take.
const BOUND: Duration = Duration::from_secs(2);
/// How long a reading is of now. CPU is what was used between two readings: of less time it says little.
const FRESH: Duration = Duration::from_secs(1);

/// The last reading of the host. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct HostReader(Arc<Mutex<Option<(Instant, HostSignals)>>>);

impl Context {
    /// The host as it is now, with the CPU that was used since the reading before. What cannot be read, or not soon enough,
    /// is not known; nothing is of an engine elsewhere.
    pub async fn read_host(&self) -> HostSignals {
        let Some(read) = self.settings.host else {
            return HostSignals::default();
        };
        let directory = self.store.dir().to_owned();
        let last = Arc::clone(&self.host.0).lock_owned();
        let reading = async {
            // Held until it is read: one thread at the most waits for a file system that does not answer.
            let mut last = last.await;
            let now = Instant::now();
            let known = last.filter(|(at, _)| now.duration_since(*at) < FRESH);
            if let Some((_, host)) = known {
                return host;
            }
            let read = tokio::task::spawn_blocking(move || {
                let before = last.as_ref().and_then(|(_, host)| host.cpu_times);
                let mut host = read(&directory);
                host.cpu_ratio = before.and_then(|before| host.cpu_times?.ratio_since(before));
                *last = Some((now, host));
                host
            });
            read.await.unwrap_or_default()
        };
        let answer = tokio::time::timeout(BOUND, reading).await;
        answer.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aegis_api::signals::CpuTimes;
    use aegis_docker_fake::FakeEngine;

    use super::*;
    use crate::context::Settings;
    use crate::context::tests::over;

    #[tokio::test(start_paused = true)]
    async fn cpu_is_of_the_time_between_two_readings_and_readers_of_one_moment_share_one() {
        static READ: AtomicU64 = AtomicU64::new(0);
        let settings = Settings {
            host: Some(|_| {
                let times = READ.fetch_add(1, Ordering::Relaxed);
                HostSignals {
                    cpu_times: Some(CpuTimes {
                        busy: times * 25,
                        all: times * 100,
                    }),
                    ..HostSignals::default()
                }
            }),
            ..Settings::default()
        };
        let (context, _state) = over(&FakeEngine::default(), settings).await;
        assert_eq!(context.read_host().await.cpu_ratio, None, "the first one");
        tokio::join!(context.read_host(), context.read_host());
        assert_eq!(READ.load(Ordering::Relaxed), 1);
        tokio::time::sleep(FRESH).await;
        assert_eq!(context.read_host().await.cpu_ratio, Some(0.25));
        assert_eq!(READ.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_file_system_that_does_not_answer_holds_one_thread_and_no_reader_for_long() {
        static READ: AtomicU64 = AtomicU64::new(0);
        let settings = Settings {
            host: Some(|_| {
                READ.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(BOUND + FRESH);
                HostSignals {
                    cores: Some(2),
                    ..HostSignals::default()
                }
            }),
            ..Settings::default()
        };
        let (context, _state) = over(&FakeEngine::default(), settings).await;
        let began = std::time::Instant::now();
        let readers = (0..8).map(|_| context.read_host());
        let all = futures::future::join_all(readers).await;
        assert!(all.iter().all(|host| *host == HostSignals::default()), "{all:?}");
        assert!(began.elapsed() < BOUND * 2);
        assert_eq!(READ.load(Ordering::Relaxed), 1);
    }
}
