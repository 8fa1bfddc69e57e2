//! Messages as they go over the socket. Pure.

use aegis_api::Time;
use aegis_runtime::{Frame, FrameType};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A frame of the feed. `full_text: false` leaves the growing text of `ai.stream` out.
pub(super) fn frame(frame: &Frame, full_text: bool) -> String {
    if full_text || frame.kind != FrameType::AiStream {
        return text(frame);
    }
    let fields = frame
        .data
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "full_text");
    let data: Map<String, Value> = fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    text(&Frame {
        data: data.into(),
        incident_id: frame.incident_id.clone(),
        ..*frame
    })
}

/// A message of the connection itself. `seq` is that of the last frame that was sent: a client may come back with it.
pub(super) fn own(kind: &str, seq: u64, data: &Value) -> String {
    let timestamp = Time(jiff::Timestamp::now());
    json!({"seq": seq, "type": kind, "incident_id": null, "data": data, "timestamp": timestamp}).to_string()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_opt_out_of_the_growing_text() {
        let data = json!({"incident_id": "i", "chunk": "c", "full_text": "abc"});
        let timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let stream = Frame {
            seq: 1,
            kind: FrameType::AiStream,
            incident_id: Some("i".to_owned()),
            data,
            timestamp,
        };
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(read(frame(&stream, true))["data"]["full_text"], "abc");
        let without = read(frame(&stream, false));
        assert_eq!(without["data"], json!({"incident_id": "i", "chunk": "c"}));
        assert_eq!(without["seq"], 1);
        assert_eq!(without["type"], "ai.stream");
    }
}
