//! The one reading of the host, for detectors, for the gate of an incident and for display. Does I/O through what the
//! settings name. A file system that does not answer holds one thread at the most, and no reader for long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::signals::HostSignals;
use aegis_docker::Engine;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::context::Context;

/// How long a reading may take.
const BOUND: Duration = Duration::from_secs(2);
/// How long a reading is of now. CPU is what was used between two readings: of less time it says little.
const FRESH: Duration = Duration::from_secs(1);
/// How long the engine may take to say where it keeps things, and how long that is taken for true: it changes only with the
/// engine's own configuration.
const FOLDER_BOUND: Duration = Duration::from_millis(500);
const FOLDER_FRESH: Duration = Duration::from_secs(600);
/// How long an engine that did not say is not asked again.
const FOLDER_PAUSE: Duration = Duration::from_secs(30);

/// The last reading of the host. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct HostReader(Arc<Mutex<Known>>);

/// What was learnt, each with when.
#[derive(Debug, Default)]
struct Known {
    host: Option<(Instant, HostSignals)>,
    /// Where the engine keeps things, and when it is to be asked.
    folder: Option<PathBuf>,
    ask_at: Option<Instant>,
}

impl Known {
    /// What the engine says, and while it says nothing what it said last.
    async fn learn_folder(&mut self, engine: &dyn Engine) {
        let now = Instant::now();
        if self.ask_at.is_some_and(|at| now < at) {
            return;
        }
        let said = tokio::time::timeout(FOLDER_BOUND, engine.info()).await;
        let fresh = match said {
            Ok(Ok(info)) => {
                self.folder = info.root_dir;
                FOLDER_FRESH
            }
            Ok(Err(_)) | Err(_) => FOLDER_PAUSE,
        };
        self.ask_at = Some(now + fresh);
    }
}

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
            let known = last.host.filter(|(at, _)| now.duration_since(*at) < FRESH);
            if let Some((_, host)) = known {
                return host;
            }
            last.learn_folder(&*self.engine).await;
            let read = tokio::task::spawn_blocking(move || {
                let before = last.host.and_then(|(_, host)| host.cpu_times);
                let mut host = read(&directory, last.folder.as_deref());
                host.cpu_ratio = before.and_then(|before| host.cpu_times?.ratio_since(before));
                last.host = Some((now, host));
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
            host: Some(|_, _| {
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

    #[tokio::test(start_paused = true)]
    async fn the_file_system_of_the_engine_is_that_of_the_folder_it_names_and_it_is_seldom_asked() {
        let engine = FakeEngine::default();
        let settings = Settings {
            // Stands for a file system: as full as the folder's name is long.
            host: Some(|_, engine| HostSignals {
                cores: engine.map(|folder| u32::try_from(folder.as_os_str().len()).unwrap()),
                ..HostSignals::default()
            }),
            ..Settings::default()
        };
        let (context, _state) = over(&engine, settings).await;
        engine.set_down(true);
        assert_eq!(context.read_host().await.cores, None, "it has never said");
        engine.set_down(false);
        engine.set_root_dir(Some("/srv"));
        tokio::time::sleep(FOLDER_PAUSE).await;
        assert_eq!(context.read_host().await.cores, Some(4));
        engine.set_root_dir(Some("/srv/docker"));
        tokio::time::sleep(FRESH).await;
        assert_eq!(context.read_host().await.cores, Some(4));
        engine.set_down(true);
        tokio::time::sleep(FOLDER_FRESH).await;
        assert_eq!(context.read_host().await.cores, Some(4), "what it said last");
        engine.set_down(false);
        tokio::time::sleep(FOLDER_PAUSE).await;
        assert_eq!(context.read_host().await.cores, Some(11));
    }

    #[tokio::test]
    async fn a_file_system_that_does_not_answer_holds_one_thread_and_no_reader_for_long() {
        static READ: AtomicU64 = AtomicU64::new(0);
        let settings = Settings {
            host: Some(|_, _| {
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
