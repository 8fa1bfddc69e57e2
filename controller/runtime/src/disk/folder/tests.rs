use super::*;
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

struct Opened {
    _dir: tempfile::TempDir,
    state: PathBuf,
    away: PathBuf,
    disk: Disk,
}

fn info() -> &'static KindInfo {
    KINDS.iter().find(|info| info.kind == "Workload").unwrap()
}

async fn opened() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let (state, away) = (dir.path().join("state"), dir.path().join("away"));
    let disk = Disk::open(
        state.clone(),
        Arc::default(),
        crate::disk::faults::Faults::default(),
    )
    .await
    .unwrap();
    disk.settle_in().unwrap();
    fs::write(state.join("workloads/w.yaml"), "kind: Workload\n").unwrap();
    Opened {
        _dir: dir,
        state,
        away,
        disk,
    }
}

/// Puts an empty folder in the place of the kind's.
fn exchange(state: &Path, away: &Path) {
    let folder = state.join("workloads");
    fs::rename(&folder, away).unwrap();
    fs::create_dir(&folder).unwrap();
}

#[tokio::test]
async fn files_of_a_folder_that_was_there_before_do_not_vouch_for_the_one_in_its_place() {
    let Opened {
        _dir,
        state,
        away,
        disk,
    } = opened().await;
    let folder = state.join("workloads");
    let reads = Cell::new(0);
    let (found, listing) = disk.list_steady(info(), |into| {
        let listed = list_folder(&folder, &state, info(), into);
        if reads.replace(reads.get() + 1) == 0 {
            exchange(&state, &away);
        }
        listed
    });
    assert!(matches!(found, Folder::Other(_)), "{found:?}");
    assert!(listing.specs.is_empty(), "{listing:?}");
    assert_eq!(reads.get(), 2);
}

#[tokio::test]
async fn a_folder_that_is_exchanged_each_time_it_is_read_says_nothing() {
    let Opened {
        _dir,
        state,
        away,
        disk,
    } = opened().await;
    let folder = state.join("workloads");
    let reads = Cell::new(0);
    let (found, listing) = disk.list_steady(info(), |into| {
        let listed = list_folder(&folder, &state, info(), into);
        exchange(&state, &away.with_extension(reads.get().to_string()));
        reads.set(reads.get() + 1);
        listed
    });
    assert!(matches!(found, Folder::Unusable(_)), "{found:?}");
    assert!(listing.specs.is_empty());
    assert_eq!(reads.get(), LISTED_AT_MOST);
}

#[tokio::test]
async fn a_folder_that_goes_while_it_is_read_is_missing_and_lists_nothing() {
    let Opened {
        _dir,
        state,
        away,
        disk,
    } = opened().await;
    let folder = state.join("workloads");
    let (found, listing) = disk.list_steady(info(), |into| {
        let listed = list_folder(&folder, &state, info(), into);
        fs::rename(&folder, &away).unwrap();
        listed
    });
    assert_eq!(found, Folder::Missing);
    assert!(listing.specs.is_empty());
}
