//! Every version of an object that a watch of the API shows, kept in order.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;

use crate::api::Api;
use crate::eventually;

/// A watch that runs until it is dropped with its runtime.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Watch {
    /// Watches one object from now on, its present version included.
    pub async fn start(api: &Api, plural: &str, name: &str) -> Self {
        let path = format!(
            "/apis/aegisops.io/v1alpha1/namespaces/default/{plural}?watch=true&resourceVersion=0&fieldSelector=metadata.name={name}"
        );
        let request = api
            .request(Method::GET, &path)
            .timeout(std::time::Duration::from_secs(600));
        let answer = request.send().await.expect("the watch opens");
        assert_eq!(answer.status(), 200, "GET {path}");
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut chunks = answer.bytes_stream();
            let mut rest = Vec::new();
            while let Some(Ok(chunk)) = chunks.next().await {
                rest.extend_from_slice(&chunk);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    if let Ok(event) = serde_json::from_slice::<Value>(&line) {
                        kept.lock().expect("the lock is not poisoned").push(event);
                    }
                }
            }
        });
        let watch = Self { seen };
        eventually(&format!("the watch of {plural}/{name} begins"), async || {
            if watch.versions().is_empty() {
                Err("nothing came".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
        watch
    }

    /// Every version so far, oldest first.
    pub fn versions(&self) -> Vec<Value> {
        let seen = self.seen.lock().expect("the lock is not poisoned");
        seen.iter().map(|event| event["object"].clone()).collect()
    }
}
