//! A state directory that an earlier version left behind, an incident in each phase: it opens as it is, and the incident
//! goes on. The files under `earlier/` were written by version 0.1.1's controller and are never made again by a newer one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_api::{Incident, KINDS, Phase, Time};
use aegis_runtime::store::Clock;
use aegis_runtime::{EventRecorder, Store, StoreOptions};
use tokio_util::sync::CancellationToken;

use super::acts::{Hand, Illness};
use super::faults;
use super::process::Process;
use super::scenario::Scenario;
use super::world::World;

/// How long an incident may take to end, in virtual time.
const ENDS_WITHIN: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(500);

/// What an earlier version left, and what is expected of this one.
pub(crate) struct Earlier {
    /// Folder under `earlier/`.
    pub(crate) folder: &'static str,
    /// The incident that was under way.
    pub(crate) incident: &'static str,
    /// The phase its status is read in.
    pub(crate) phase: &'static str,
    /// What is wrong with the container that it is about.
    pub(crate) illness: Option<Illness>,
    /// The container was restarted before the earlier version ended.
    pub(crate) restarted: bool,
    /// The phase in which it comes to rest.
    pub(crate) ends: &'static str,
}

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation/earlier")).join(name)
}

/// Every file below a folder, by its path within it.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let within = path.strip_prefix(root).expect("below the root").to_owned();
                found.insert(within, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// The half of the files that people write.
fn specs(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(root);
    files.retain(|path, _| {
        let name = path.to_string_lossy();
        name.ends_with(".yaml") && !name.ends_with(".status.yaml")
    });
    files
}

fn place(from: &Path, state: &Path) {
    for (path, content) in files(from) {
        let target = state.join(path);
        std::fs::create_dir_all(target.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(target, content).expect("a file can be written");
    }
}

/// The last moment of which the files speak.
fn last_moment(state: &Path) -> Time {
    let text: String = files(state)
        .values()
        .map(|content| String::from_utf8_lossy(content).into_owned())
        .collect();
    let moments = text.split('"').filter(|word| word.starts_with("2030-01-07T"));
    let moments = moments.filter_map(|word| word.parse::<Time>().ok());
    // Deadlines lie ahead; none is more than the longest verification away.
    let started = text
        .split("\"lastTransitionTime\": \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next()?.parse::<Time>().ok());
    let latest = started.max().expect("a condition");
    let timeline = text
        .split("\"ts\": \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next()?.parse::<Time>().ok());
    let latest = timeline.fold(latest, Time::max);
    assert!(moments.count() > 0, "the files tell the time");
    latest
}

/// Kinds that the version which left the files did not have.
const NEWER: [&str; 2] = ["AlertSource", "Silence"];

/// Opens the directory and nothing more: what it holds is what was written, no file is rewritten, no Event recorded.
async fn opens_unchanged(world: &World, earlier: &Earlier) {
    let before = specs(world.state.path());
    let clock = {
        let engine = world.engine.clone();
        Clock::new(move || engine.now())
    };
    let options = StoreOptions {
        watch_files: false,
        clock,
        ..StoreOptions::new(world.state.path())
    };
    let events = EventRecorder::new();
    let (store, driver) = Store::open(options, events.clone()).await.expect("it opens");
    for info in KINDS.iter() {
        let written = before.keys().filter(|path| path.starts_with(info.plural)).count();
        let held = store.list_stored(info).1.len();
        assert_eq!(held, written, "{}: {}", earlier.folder, info.plural);
        let is_newer = NEWER.contains(&info.kind);
        assert!(
            held > 0 || is_newer,
            "{}: no {} among the files",
            earlier.folder,
            info.kind
        );
    }
    let incident = store
        .get::<Incident>(earlier.incident)
        .expect("the incident is there");
    let phase = incident
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default();
    assert_eq!(phase.as_str(), earlier.phase, "{}", earlier.folder);
    let recorded = events.list().1;
    assert!(recorded.is_empty(), "{}: {recorded:#?}", earlier.folder);
    drop(store);
    let closing = CancellationToken::new();
    closing.cancel();
    driver.run(closing).await.expect("the store ends");
    assert!(
        specs(world.state.path()) == before,
        "{}: a spec was rewritten",
        earlier.folder
    );
}

/// Goes on until the incident is at rest; answers its phase.
async fn goes_on(world: &World, earlier: &Earlier) -> Option<Phase> {
    let process = Process::start(world, 1).await;
    let mut phase = None;
    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        let incident = process.store.get::<Incident>(earlier.incident);
        phase = incident.and_then(|incident| Some(incident.status.as_ref()?.phase));
        if phase.is_some_and(|phase| phase.as_str() == earlier.ends) {
            // What is at rest stays there.
            tokio::time::sleep(4 * LOOK).await;
            break;
        }
    }
    process.end(true).await;
    phase
}

pub(crate) fn opens_and_goes_on(scenario: &Scenario, earlier: &Earlier) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    aegis_runtime::offload::stay_on_this_thread();
    runtime.block_on(async {
        let world = World::new(scenario);
        let state = world.state.path().to_owned();
        place(&folder(earlier.folder), &state);
        if let Some(illness) = earlier.illness {
            faults::inject(&world, "shop", illness);
        }
        let until = last_moment(&state).0.duration_since(world.engine.now().0);
        tokio::time::sleep(until.unsigned_abs()).await;
        if earlier.restarted {
            faults::act_by_hand(&world, "shop", Hand::Stop);
            faults::act_by_hand(&world, "shop", Hand::Start);
        }
        opens_unchanged(&world, earlier).await;
        let before = specs(&state);
        let phase = goes_on(&world, earlier).await;
        assert_eq!(
            phase.map(Phase::as_str),
            Some(earlier.ends),
            "{}:\n{}",
            earlier.folder,
            world.ledger.trace()
        );
        let broken = world.ledger.broken();
        assert!(broken.is_empty(), "{}: {broken:#?}", earlier.folder);
        // Going on, it changes what its plan is about and learns; what people wrote besides is theirs.
        let after = specs(&state);
        for (path, content) in before {
            if path != Path::new("workloads/shop.yaml") && !path.starts_with("runbookentries") {
                assert!(
                    after.get(&path) == Some(&content),
                    "{}: {}",
                    earlier.folder,
                    path.display()
                );
            }
        }
    });
}
