//! The detectors that a state directory begins with. Given once, as ordinary files: a marker in the directory keeps that
//! they were, so that those which are deleted stay deleted. Does I/O through the store, and writes the marker.

use aegis_api::yaml;
use aegis_api::{Detector, Kind, KindInfo};
use aegis_runtime::Store;
use aegis_runtime::store::StoreError;

/// The files, one document each.
const FILES: &str = include_str!("defaults.yaml");
/// Beside the resources.
const MARKER: &str = ".detectors-given";

/// Gives them to a directory that has none of other origin, and was never given any. Answers how many were made.
pub async fn give(store: &Store) -> Result<usize, StoreError> {
    let marker = store.dir().join(MARKER);
    if marker.exists() {
        return Ok(0);
    }
    let info = KindInfo::of::<Detector>();
    let documents = yaml::parse(FILES).unwrap_or_default();
    let objects: Vec<_> = documents.into_iter().map(|document| document.value).collect();
    let name = |object: &serde_json::Value| {
        let name = object
            .pointer("/metadata/name")
            .and_then(serde_json::Value::as_str);
        name.unwrap_or_default().to_owned()
    };
    let ours: Vec<String> = objects.iter().map(name).collect();
    let is_broken = store.broken_files().iter().any(|file| file.kind == info.kind);
    let present = store.list::<Detector>();
    // One of ours is left of a first start that did not come to its end.
    let of_others = present
        .iter()
        .any(|detector| !ours.iter().any(|name| name == detector.name()));
    let mut made = 0;
    if !is_broken && !of_others {
        for object in objects {
            match store.create(info, object, false).await {
                Ok(_) => made += 1,
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let text =
        "The default detectors were given; this file keeps that those which are deleted do not come back.\n";
    if let Err(error) = tokio::task::spawn_blocking(move || std::fs::write(marker, text))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
    {
        tracing::warn!(%error, "it cannot be noted that the default detectors were given");
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use aegis_docker_fake::FakeEngine;
    use aegis_planning::detection::Watch;

    use super::*;
    use crate::context::{Settings, tests::over};

    #[tokio::test]
    async fn they_are_given_once_and_stay_deleted() {
        let (context, _state) = over(&FakeEngine::default(), Settings::default()).await;
        let store = &context.store;
        assert_eq!(give(store).await.unwrap(), 13);
        assert_eq!(give(store).await.unwrap(), 0);
        for detector in store.list::<Detector>() {
            assert!(Watch::of(&detector.spec).is_some(), "{}", detector.name());
            let key = KindInfo::of::<Detector>();
            store
                .delete(key, detector.name(), None, None, false)
                .await
                .unwrap();
        }
        assert_eq!(give(store).await.unwrap(), 0);
        assert!(store.list::<Detector>().is_empty());
    }

    #[tokio::test]
    async fn a_directory_that_has_some_is_given_none_and_a_start_that_was_cut_short_is_finished() {
        let (context, _state) = over(&FakeEngine::default(), Settings::default()).await;
        let store = &context.store;
        give(store).await.unwrap();
        std::fs::remove_file(store.dir().join(MARKER)).unwrap();
        assert_eq!(give(store).await.unwrap(), 0, "all of ours are there");
        let (context, _state) = over(&FakeEngine::default(), Settings::default()).await;
        let own = yaml::parse(
            "{apiVersion: aegisops.io/v1alpha1, kind: Detector, metadata: {name: mine}, spec: {signal: Cpu, alertType: x}}",
        );
        let own = own.unwrap().remove(0).value;
        context
            .store
            .create(KindInfo::of::<Detector>(), own, false)
            .await
            .unwrap();
        assert_eq!(give(&context.store).await.unwrap(), 0);
        assert_eq!(context.store.list::<Detector>().len(), 1);
    }
}
