//! The limits of Block Kit, as Slack documents them: one checker for every body that goes to Slack. Pure.
//! <https://docs.slack.dev/reference/block-kit/blocks>, <https://docs.slack.dev/reference/block-kit/block-elements/button-element>

use serde_json::Value;

fn length(value: Option<&Value>) -> Option<usize> {
    value?.as_str().map(|text| text.chars().count())
}

/// Every limit that the body breaks.
pub(crate) fn broken(body: &Value) -> Vec<String> {
    let mut out = Vec::new();
    match length(body.get("text")) {
        Some(1..=3_000) => {}
        other => out.push(format!("text: {other:?}")),
    }
    let Some(blocks) = body.get("blocks") else {
        return out;
    };
    let blocks = blocks.as_array().cloned().unwrap_or_default();
    if blocks.is_empty() || blocks.len() > 50 {
        out.push(format!("{} blocks", blocks.len()));
    }
    let mut ids = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(id) = block.get("block_id") {
            if length(Some(id)).is_none_or(|length| length == 0 || length > 255) || ids.contains(id) {
                out.push(format!("blocks[{index}].block_id"));
            }
            ids.push(id.clone());
        }
        let mut wrong = Vec::new();
        one(block, &mut wrong);
        out.extend(wrong.into_iter().map(|why| format!("blocks[{index}].{why}")));
    }
    out
}

fn one(block: &Value, out: &mut Vec<String>) {
    let items = |name: &str| block.get(name).and_then(Value::as_array);
    match block.get("type").and_then(Value::as_str) {
        Some("header") => text(block.get("text"), 150, "text", out),
        Some("section") => {
            if block.get("text").is_none() && block.get("fields").is_none() {
                out.push("neither text nor fields".to_owned());
            }
            if block.get("text").is_some() {
                text(block.get("text"), 3_000, "text", out);
            }
            let fields = items("fields");
            if fields.is_some_and(|fields| fields.is_empty() || fields.len() > 10) {
                out.push("fields".to_owned());
            }
            for field in fields.into_iter().flatten() {
                text(Some(field), 2_000, "fields", out);
            }
        }
        Some("context") => {
            let elements = items("elements");
            if elements.is_none_or(|elements| elements.is_empty() || elements.len() > 10) {
                out.push("elements".to_owned());
            }
            for element in elements.into_iter().flatten() {
                text(Some(element), 2_000, "elements", out);
            }
        }
        Some("actions") => {
            let elements = items("elements");
            if elements.is_none_or(|elements| elements.is_empty() || elements.len() > 25) {
                out.push("elements".to_owned());
            }
            let mut ids = Vec::new();
            for element in elements.into_iter().flatten() {
                button(element, out);
                ids.push(element.get("action_id").and_then(Value::as_str));
            }
            ids.sort_unstable();
            ids.dedup();
            if ids.len() != elements.map_or(0, Vec::len) {
                out.push("action_id twice".to_owned());
            }
        }
        other => out.push(format!("type {other:?} is used nowhere")),
    }
}

fn button(element: &Value, out: &mut Vec<String>) {
    if element.get("type").and_then(Value::as_str) != Some("button") {
        out.push("no button".to_owned());
    }
    text(element.get("text"), 75, "text", out);
    for (name, most) in [("action_id", 255), ("value", 2_000), ("url", 3_000)] {
        let length = length(element.get(name));
        if length.is_some_and(|length| length == 0 || length > most)
            || (name == "action_id" && length.is_none())
        {
            out.push(format!("{name}: {length:?}"));
        }
    }
    if let Some(confirm) = element.get("confirm") {
        for (name, most) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
            text(confirm.get(name), most, name, out);
        }
    }
}

/// A text object: plain, within its limit, escaped, and without what turns the direction of writing.
fn text(object: Option<&Value>, most: usize, name: &str, out: &mut Vec<String>) {
    let Some(object) = object else {
        return out.push(format!("{name} is missing"));
    };
    if object.get("type").and_then(Value::as_str) != Some("plain_text") {
        out.push(format!("{name} is no plain text"));
    }
    if object.get("emoji") != Some(&Value::Bool(false)) {
        out.push(format!("{name} turns colons into emoji"));
    }
    let said = object.get("text").and_then(Value::as_str).unwrap_or_default();
    let length = said.chars().count();
    if length == 0 || length > most {
        out.push(format!("{name}: {length} characters of {most}"));
    }
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if said.contains(['<', '>']) || said.chars().any(turns) {
        out.push(format!("{name} is not escaped: {said}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text_of(length: usize) -> Value {
        json!({"type": "plain_text", "text": "x".repeat(length), "emoji": false})
    }

    #[test]
    fn each_limit_is_checked() {
        let body = |block: Value| json!({"text": "t", "blocks": [block]});
        let button = |more: Value| {
            let mut button = json!({"type": "button", "action_id": "a", "text": text_of(75)});
            button
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({"type": "actions", "elements": [button]})
        };
        for fits in [
            json!({"type": "header", "text": text_of(150)}),
            json!({"type": "section", "text": text_of(3_000)}),
            json!({"type": "section", "fields": [text_of(2_000)]}),
            button(json!({"value": "x".repeat(2_000)})),
        ] {
            assert_eq!(broken(&body(fits)), Vec::<String>::new());
        }
        for breaks in [
            json!({"type": "header", "text": text_of(151)}),
            json!({"type": "header", "text": text_of(0)}),
            json!({"type": "section", "text": text_of(3_001)}),
            json!({"type": "section"}),
            json!({"type": "section", "fields": vec![text_of(1); 11]}),
            json!({"type": "section", "fields": [text_of(2_001)]}),
            json!({"type": "section", "block_id": "x".repeat(256), "text": text_of(1)}),
            button(json!({"value": "x".repeat(2_001)})),
            button(json!({"action_id": "x".repeat(256)})),
            button(json!({"text": text_of(76)})),
            button(json!({"url": "x".repeat(3_001)})),
            button(json!({"confirm": {"title": text_of(101)}})),
            json!({"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": false}}),
            json!({"type": "section", "text": {"type": "plain_text", "text": "<!channel>", "emoji": false}}),
        ] {
            assert!(!broken(&body(breaks.clone())).is_empty(), "{breaks}");
        }
        let buttons = |ids: [&str; 3]| {
            let button = |id: &&str| json!({"type": "button", "action_id": id, "text": text_of(1)});
            let elements: Vec<Value> = ids.iter().map(button).collect();
            broken(&body(json!({"type": "actions", "elements": elements})))
        };
        assert_eq!(buttons(["a", "b", "c"]), Vec::<String>::new());
        assert_eq!(
            buttons(["a", "b", "a"]),
            ["blocks[0].action_id twice"],
            "wherever they are"
        );
        let many = json!({"text": "t", "blocks": vec![json!({"type": "header", "text": text_of(1)}); 51]});
        assert!(!broken(&many).is_empty());
    }
}
