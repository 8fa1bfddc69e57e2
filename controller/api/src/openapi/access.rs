//! The routes of `/auth` and `/audit`: who one is, tokens, the audit log. Pure.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::access::{LinkMade, SessionView, TokenList, TokenMade, TokenRow, TokenWanted};
use crate::audit::Actor;

/// Adds the routes. Long because it is one list: a route after the other, as the document has them.
pub(super) fn add(paths: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    let session = answer::<SessionView>(generator, "Who one is.");
    let refused = |description: &str| {
        json!({"description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}})
    };
    let too_many = refused("Too many tries: Retry-After says how long to wait.");
    let gone = json!({"description": "Done."});
    let text = json!({"type": "string"});
    let body = |schema: Value| json!({"required": true, "content": {"application/json": {"schema": schema}}});
    let parameter = |name: &str, place: &str, description: &str, schema: Value| json!({"name": name, "in": place, "required": place == "path", "description": description, "schema": schema});
    let mut add = |path: &str, operations: Value| paths.insert(path.to_owned(), operations);

    add(
        "/auth/session",
        json!({"get": {"summary": "Say who one is, by token or session", "tags": ["access"],
        "responses": {"200": session, "401": refused("Unknown caller.")}}}),
    );
    let login = json!({"type": "object", "required": ["token"], "properties": {"token": text}});
    add(
        "/auth/login",
        json!({"post": {"summary": "Begin a browser session with a token", "tags": ["access"],
        "security": [], "requestBody": body(login),
        "responses": {"200": session, "401": refused("The token is not known."), "429": too_many}}}),
    );
    add(
        "/auth/logout",
        json!({"post": {"summary": "End the browser session", "tags": ["access"],
        "responses": {"204": gone}}}),
    );
    let code = parameter("code", "query", "What POST answered.", text.clone());
    let made = answer::<LinkMade>(generator, "Good once, for 15 minutes.");
    add(
        "/auth/once",
        json!({
            "post": {"summary": "Make a link that logs a browser in once, as oneself", "tags": ["access"],
                "responses": {"201": made}},
            "get": {"summary": "Follow a link: to the page, which trades its code for a session", "tags": ["access"], "security": [],
                "parameters": [code], "responses": {"303": {"description": "To the page; nothing is spent yet."},
                "401": {"description": "Used, expired or unknown."}, "429": too_many}},
        }),
    );
    let code = json!({"type": "object", "required": ["code"], "properties": {"code": text}});
    add(
        "/auth/once/redeem",
        json!({"post": {"summary": "Trade a link's code for a session, once", "tags": ["access"],
        "security": [], "requestBody": body(code),
        "responses": {"200": session, "401": refused("Used, expired or unknown."), "429": too_many}}}),
    );
    let tokens = answer::<TokenList>(generator, "The tokens, without their secrets.");
    let made = answer::<TokenMade>(generator, "The token, this once.");
    let wanted = generator.subschema_for::<TokenWanted>().to_value();
    add(
        "/auth/tokens",
        json!({
            "get": {"summary": "List tokens", "tags": ["access"], "responses": {"200": tokens}},
            "post": {"summary": "Make a token", "tags": ["access"], "requestBody": body(wanted),
                "responses": {"201": made, "409": refused("The name is taken."), "422": refused("The name is none.")}},
        }),
    );
    let name = parameter(
        "name",
        "path",
        "Whose token; `admin` and `webhook` are those of the first start.",
        text,
    );
    let another = answer::<TokenMade>(
        generator,
        "Another secret, this once; what the former one began ends. The former webhook token stays good for a while.",
    );
    let end = json!({"type": "object", "properties": {
        "ttlSeconds": {"type": "integer", "minimum": 1, "nullable": true},
        "expiresAt": {"type": "string", "format": "date-time", "nullable": true},
        "graceSeconds": {"type": "integer", "minimum": 0, "maximum": 2_592_000, "default": 86_400, "nullable": true,
            "description": "Of the webhook token alone, which has no end: how long the former one stays good."}}});
    add(
        "/auth/tokens/{name}/rotate",
        json!({"post": {"summary": "Give a token another secret", "tags": ["access"], "parameters": [name],
        "requestBody": body(end), "responses": {"201": another, "404": refused("There is no such token."),
        "422": refused("Its end has passed: name another.")}}}),
    );
    let gone = answer::<TokenRow>(generator, "It ends at once, and the sessions that it began.");
    add(
        "/auth/tokens/{name}",
        json!({"delete": {"summary": "Revoke a token", "tags": ["access"],
        "parameters": [name], "responses": {"200": gone, "404": refused("There is no such token."),
        "409": refused("It is the only one of an admin.")}}}),
    );
    let parameters = [
        parameter(
            "after",
            "query",
            "Records after this one, oldest first; the newest without it.",
            json!({"type": "integer", "minimum": 0}),
        ),
        parameter(
            "limit",
            "query",
            "How many at most.",
            json!({"type": "integer", "minimum": 1, "default": 100}),
        ),
        parameter(
            "format",
            "query",
            "`lines`: as they are written, which is what their hashes are of.",
            json!({"type": "string", "enum": ["lines"]}),
        ),
    ];
    let actor = generator.subschema_for::<Actor>().to_value();
    add(
        "/audit",
        json!({"get": {"summary": "Read the audit log", "tags": ["access"], "parameters": parameters,
        "responses": {"200": {"description": "A page of it.",
            "content": {"application/json": {"schema": audit_page(&actor)}}}}}}),
    );
}

fn answer<T: JsonSchema>(generator: &mut SchemaGenerator, description: &str) -> Value {
    let schema = generator.subschema_for::<T>();
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// Records, or with `format=lines` the lines; and the head of the log.
fn audit_page(actor: &Value) -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let record = json!({
        "type": "object",
        "required": ["seq", "at", "actor", "verb", "kind", "name", "prev", "hash"],
        "properties": {
            "seq": number,
            "at": {"type": "string", "format": "date-time"},
            "actor": actor,
            "verb": text,
            "kind": text,
            "name": text,
            "resourceVersion": number,
            "before": {"description": "As people had written it, without secrets."},
            "after": {"description": "As they have written it, without secrets."},
            "note": text,
            "prev": {"type": "string", "description": "Hash of the record before."},
            "hash": text,
        },
    });
    json!({
        "type": "object",
        "required": ["head"],
        "properties": {
            "records": {"type": "array", "items": record},
            "lines": {"type": "array", "items": text},
            "checkpoint": {"type": ["string", "null"], "description": "The record that says up to where retention removed the log, \
                as it is written: the lines are verified from there. With `format=lines`; null where it begins with record 1."},
            "head": {"type": "object", "required": ["seq", "hash"], "properties": {"seq": number, "hash": text}},
        },
    })
}
