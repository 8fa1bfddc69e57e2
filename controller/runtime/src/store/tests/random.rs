//! Any sequence of operations and restarts: what is in force after a restart is what was in force before it.

use super::*;
use crate::store::Part;
use aegis_api::workload::Workload;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Create(u8, u8),
    Spec(u8, u8),
    Label(u8, u8),
    Status(u8, u8),
    Finalizers(u8, bool),
    Delete(u8),
    WriteFile(u8, u8),
    BreakFile(u8),
    RemoveFile(u8),
    Restart,
    /// Restarts after the next steps have been carried out at once.
    Together(Vec<Step>),
}

fn simple() -> impl Strategy<Value = Step> {
    let name = 0..3_u8;
    prop_oneof![
        (name.clone(), 1..9_u8).prop_map(|(name, n)| Step::Create(name, n)),
        (name.clone(), 1..9_u8).prop_map(|(name, n)| Step::Spec(name, n)),
        (name.clone(), 0..3_u8).prop_map(|(name, n)| Step::Label(name, n)),
        (name.clone(), 0..9_u8).prop_map(|(name, n)| Step::Status(name, n)),
        (name.clone(), any::<bool>()).prop_map(|(name, held)| Step::Finalizers(name, held)),
        name.prop_map(Step::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..3_u8;
    prop_oneof![
        6 => simple(),
        1 => (name.clone(), 1..9_u8).prop_map(|(name, n)| Step::WriteFile(name, n)),
        1 => name.clone().prop_map(Step::BreakFile),
        1 => name.prop_map(Step::RemoveFile),
        2 => Just(Step::Restart),
        2 => proptest::collection::vec(simple(), 1..8).prop_map(Step::Together),
    ]
}

async fn ask(store: &Store, step: Step) -> Result<(), StoreError> {
    match step {
        Step::Create(name, n) => {
            store
                .create(wl(), workload(&format!("w{name}"), n.into()), false)
                .await?;
        }
        Step::Spec(name, n) => {
            store
                .edit(
                    wl(),
                    &format!("w{name}"),
                    Part::Spec,
                    false,
                    set("/spec", "replicas", json!(n)),
                )
                .await?;
        }
        Step::Label(name, n) => {
            let labels = json!({"n": n.to_string()});
            store
                .edit(
                    wl(),
                    &format!("w{name}"),
                    Part::Spec,
                    false,
                    set("/metadata", "labels", labels),
                )
                .await?;
        }
        Step::Status(name, n) => {
            let status = json!({"replicas": n});
            store
                .edit(
                    wl(),
                    &format!("w{name}"),
                    Part::Status,
                    false,
                    set("", "status", status),
                )
                .await?;
        }
        Step::Finalizers(name, held) => {
            let name = format!("w{name}");
            let uid = store
                .get_stored(wl(), &name)
                .map(|object| object.uid().to_owned())
                .unwrap_or_default();
            let finalizers = if held { vec!["f".to_owned()] } else { vec![] };
            store.set_finalizers::<Workload>(&name, &uid, finalizers).await?;
        }
        Step::Delete(name) => {
            store.delete(wl(), &format!("w{name}"), None, None, false).await?;
        }
        _ => {}
    }
    Ok(())
}

/// A file that was made while an object of its name was still going has its turn shortly after that.
async fn settled(dir: &TempDir, store: &Running) {
    let in_force = |name: &str| {
        let path = spec_path(dir, name);
        let broken = store.broken_files().iter().any(|file| file.path == path);
        !path.exists() || broken || store.get_stored(wl(), name).is_some()
    };
    eventually("every file is in force", || {
        ["w0", "w1", "w2"].into_iter().all(in_force)
    })
    .await;
}

/// What must be the same after a restart: everything, unless somebody has touched the files meanwhile.
async fn play(steps: Vec<Step>) {
    let dir = dir();
    let mut store = Running::open(&dir).await;
    let mut last = 0;
    for step in steps {
        match step {
            Step::Restart => {
                let before = store.contents();
                store.kill().await;
                store = Running::open(&dir).await;
                assert_eq!(store.contents(), before);
            }
            Step::Together(steps) => {
                let asked = steps.into_iter().map(|step| ask(&store, step));
                futures::future::join_all(asked).await;
                settled(&dir, &store).await;
                let before = store.contents();
                store.kill().await;
                store = Running::open(&dir).await;
                assert_eq!(store.contents(), before);
            }
            // By hand, while no controller runs.
            Step::WriteFile(name, n) => {
                store.kill().await;
                let text = format!("metadata: {{name: w{name}}}\nspec: {{container: c, replicas: {n}}}\n");
                std::fs::write(spec_path(&dir, &format!("w{name}")), text).unwrap();
                store = Running::open(&dir).await;
                let object = store.get_stored(wl(), &format!("w{name}")).unwrap();
                assert!(replicas(&object) == u64::from(n) || object.is_deleting());
            }
            Step::BreakFile(name) => {
                let before = store.contents();
                store.kill().await;
                let path = spec_path(&dir, &format!("w{name}"));
                let existed = path.exists();
                if existed {
                    std::fs::write(&path, "{").unwrap();
                }
                store = Running::open(&dir).await;
                assert_eq!(store.contents(), before);
                assert!(!existed || store.broken_files().iter().any(|file| file.path == path));
            }
            Step::RemoveFile(name) => {
                store.kill().await;
                drop(std::fs::remove_file(spec_path(&dir, &format!("w{name}"))));
                store = Running::open(&dir).await;
                assert!(
                    store
                        .get_stored(wl(), &format!("w{name}"))
                        .is_none_or(|object| object.is_deleting())
                );
            }
            step => {
                let before = store.revision();
                let acted = ask(&store, step).await;
                assert!(acted.is_ok() || store.revision() == before);
            }
        }
        settled(&dir, &store).await;
        assert!(store.revision() >= last);
        last = store.revision();
    }
    store.kill().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_in_force_after_a_restart_is_what_was_before_it(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_each_get_what_they_asked_for_and_watchers_see_one_order() {
    use futures::StreamExt as _;
    let dir = dir();
    let store = Running::open(&dir).await;
    let start = store.revision();
    let mut callers = Vec::new();
    for caller in 0..16 {
        let store = store.store.clone();
        callers.push(tokio::spawn(async move {
            let mine = format!("mine-{caller}");
            store.create(wl(), workload(&mine, 1), false).await.unwrap();
            drop(store.create(wl(), workload("shared", 1), false).await);
            for n in 0..20 {
                store
                    .edit(
                        wl(),
                        &mine,
                        Part::Spec,
                        false,
                        set("/spec", "replicas", json!(n + 1)),
                    )
                    .await
                    .unwrap();
                let add = store.edit(wl(), "shared", Part::Status, false, |current| {
                    let mut object = current.value();
                    let seen = object["status"]["replicas"].as_u64().unwrap_or_default();
                    object["status"] = json!({"replicas": seen + 1});
                    Ok(object)
                });
                add.await.unwrap();
            }
            assert_eq!(replicas(&store.get_stored(wl(), &mine).unwrap()), 20);
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(
        store.get_stored(wl(), "shared").unwrap().value()["status"]["replicas"],
        16 * 20
    );
    let count = 16 + 1 + 16 * 19 + 16 * 20;
    let events: Vec<_> = store.watch(Some(start)).unwrap().take(count).collect().await;
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].resource_version < pair[1].resource_version)
    );
    assert_eq!(events.last().unwrap().resource_version, store.revision());
    let before = store.contents();
    store.kill().await;
    assert_eq!(Running::open(&dir).await.contents(), before);
}
