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

impl Opened {
    /// Lists the folder while this happens after each read, which is given how many were before; and how often it was read.
    fn listed(&self, meanwhile: impl Fn(usize)) -> (Folder, Listing, usize) {
        let (folder, reads) = (self.state.join("workloads"), Cell::new(0));
        let (found, listing) = self.disk.list_steady(info(), |into| {
            let listed = list_folder(&folder, &self.state, info(), into);
            meanwhile(reads.replace(reads.get() + 1));
            listed
        });
        (found, listing, reads.get())
    }
}

#[tokio::test]
async fn files_of_a_folder_that_was_there_before_do_not_vouch_for_the_one_in_its_place() {
    let opened = opened().await;
    let (found, listing, reads) = opened.listed(|read| {
        if read == 0 {
            exchange(&opened.state, &opened.away);
        }
    });
    assert!(matches!(found, Folder::Other(_)), "{found:?}");
    assert!(listing.specs.is_empty(), "{listing:?}");
    assert_eq!(reads, 2);
}

#[tokio::test]
async fn a_folder_that_is_exchanged_each_time_it_is_read_says_nothing() {
    let opened = opened().await;
    let (found, listing, reads) = opened.listed(|read| {
        exchange(&opened.state, &opened.away.with_extension(read.to_string()));
    });
    assert!(matches!(found, Folder::Unusable(_)), "{found:?}");
    assert!(listing.specs.is_empty());
    assert_eq!(reads, LISTED_AT_MOST);
}

#[tokio::test]
async fn a_folder_that_goes_while_it_is_read_is_missing_and_lists_nothing() {
    let opened = opened().await;
    let (found, listing, _) = opened.listed(|_| {
        fs::rename(opened.state.join("workloads"), &opened.away).unwrap();
    });
    assert_eq!(found, Folder::Missing);
    assert!(listing.specs.is_empty());
}
