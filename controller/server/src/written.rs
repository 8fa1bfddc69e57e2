//! Lists as they go over the wire: written piece by piece, as fast as the client reads, so that no list is held in memory a
//! second time as text. Pure.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::{Map, Value};

/// About how much is written at once, bytes.
const PIECE: usize = 64 << 10;

/// An object whose last field is a list: these fields first, then the items under `field`.
pub(crate) fn object(
    fields: Map<String, Value>,
    field: &str,
    items: impl Iterator<Item = String> + Send + 'static,
) -> Response {
    let mut head = Value::from(fields).to_string();
    // Its last sign is the brace that ends it.
    head.pop();
    if head.len() > 1 {
        head.push(',');
    }
    head.push_str(&format!("{}:[", Value::from(field)));
    answer(head, items, "]}")
}

/// What is written already.
pub(crate) fn text(json: String) -> Response {
    with_type(Body::from(json))
}

/// A list.
pub(crate) fn array(items: impl Iterator<Item = String> + Send + 'static) -> Response {
    answer("[".to_owned(), items, "]")
}

fn answer(
    head: String,
    items: impl Iterator<Item = String> + Send + 'static,
    tail: &'static str,
) -> Response {
    let mut pieces = Pieces {
        begun: Some(head),
        items,
        tail,
        first: true,
    };
    let first = pieces.next().unwrap_or_default();
    let body = if pieces.begun.is_none() {
        Body::from(first)
    } else {
        let rest = std::iter::once(first).chain(pieces);
        Body::from_stream(stream::iter(rest.map(Ok::<_, Infallible>)))
    };
    with_type(body)
}

fn with_type(body: Body) -> Response {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

struct Pieces<I> {
    /// What is written of the next piece; `None` after the last.
    begun: Option<String>,
    items: I,
    tail: &'static str,
    /// Whether no item was written yet.
    first: bool,
}

impl<I: Iterator<Item = String>> Iterator for Pieces<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut piece = self.begun.take()?;
        while piece.len() < PIECE {
            let Some(item) = self.items.next() else {
                piece.push_str(self.tail);
                return Some(piece.into());
            };
            if !std::mem::take(&mut self.first) {
                piece.push(',');
            }
            piece.push_str(&item);
        }
        self.begun = Some(String::new());
        Some(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use serde_json::json;

    async fn written(items: Vec<Value>) -> (usize, Value) {
        let fields = json!({"kind": "List"}).as_object().unwrap().clone();
        let texts = items.into_iter().map(|item| item.to_string());
        let mut body = object(fields, "items", texts).into_body();
        let (mut frames, mut text) = (0, Vec::new());
        while let Some(frame) = body.frame().await {
            frames += 1;
            text.extend(frame.unwrap().into_data().unwrap());
        }
        (frames, serde_json::from_slice(&text).unwrap())
    }

    #[tokio::test]
    async fn a_list_of_any_length_is_json_and_a_long_one_is_never_whole_in_memory() {
        for count in [0, 1, 2, 300] {
            let items = vec![json!({"text": "x".repeat(1000)}); count];
            let (frames, list) = written(items.clone()).await;
            assert_eq!(list, json!({"kind": "List", "items": items}));
            assert_eq!(frames > 3, count == 300, "{frames}");
        }
    }
}
