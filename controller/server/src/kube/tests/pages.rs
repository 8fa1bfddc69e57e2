//! Lists a page at a time, as kubectl and client-go read them.

use aegis_runtime::{EventType, ObjectRef};
use serde_json::{Value, json};

use super::{BASE, message, with};
use crate::testing::Server;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().or(list["rows"].as_array()).unwrap();
    let name = |item: &Value| {
        let object = item.get("object").unwrap_or(item);
        object["metadata"]["name"].as_str().unwrap().to_owned()
    };
    items.iter().map(name).collect()
}

fn token(list: &Value) -> String {
    list["metadata"]["continue"].as_str().unwrap().to_owned()
}

async fn page(server: &Server, base: &str, limit: usize, from: &str, accept: &str) -> Value {
    let path = format!("{base}?limit={limit}&continue={from}");
    let answer = server.ask_with("GET", &path, &[("accept", accept)], None).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    answer.json()
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[tokio::test]
async fn a_list_is_read_in_pages_of_which_the_last_leads_to_no_other() {
    let server = with(&NAMES).await;
    for accept in ["application/json", TABLE] {
        let one = page(&server, BASE, 2, "", accept).await;
        assert_eq!(names(&one), ["a", "b"]);
        assert_eq!(one["metadata"]["remainingItemCount"], 3);
        let two = page(&server, BASE, 2, &token(&one), accept).await;
        assert_eq!(names(&two), ["c", "d"]);
        assert_eq!(two["metadata"]["remainingItemCount"], 1);
        assert_eq!(
            two["metadata"]["resourceVersion"],
            one["metadata"]["resourceVersion"]
        );
        let three = page(&server, BASE, 2, &token(&two), accept).await;
        assert_eq!(names(&three), ["e"]);
        assert!(
            three["metadata"].get("continue").is_none(),
            "{}",
            three["metadata"]
        );
        assert!(three["metadata"].get("remainingItemCount").is_none());
        let all = page(&server, BASE, 500, "", accept).await;
        assert_eq!(names(&all), NAMES);
        assert!(all["metadata"].get("continue").is_none());
        let whole = page(&server, BASE, 0, "", accept).await;
        assert_eq!(names(&whole), NAMES, "no limit");
    }
}

#[tokio::test]
async fn pages_are_of_one_moment_whatever_changes_meanwhile() {
    let server = with(&NAMES).await;
    let one = page(&server, BASE, 2, "", "application/json").await;
    let before = server.get(&format!("{BASE}/d")).await.json();
    server.ask("DELETE", &format!("{BASE}/c"), None).await;
    let scale = Some(r#"{"spec":{"replicas":7}}"#.to_owned());
    let kind = [("content-type", "application/merge-patch+json")];
    let patched = server.ask_with("PATCH", &format!("{BASE}/d"), &kind, scale).await;
    assert_eq!(patched.code, 200);
    let made = server.ask("POST", BASE, Some(super::workload("cc"))).await;
    assert_eq!(made.code, 201);
    let two = page(&server, BASE, 2, &token(&one), "application/json").await;
    assert_eq!(names(&two), ["c", "d"], "as it was");
    assert_eq!(two["items"][1], before);
    let three = page(&server, BASE, 2, &token(&two), "application/json").await;
    assert_eq!(names(&three), ["e"]);
}

#[tokio::test]
async fn selected_objects_are_paged_without_a_count_of_what_remains() {
    let server = with(&NAMES).await;
    let path = format!("{BASE}?limit=1&labelSelector=app+in+(b,d)");
    let one = server.get(&path).await.json();
    assert_eq!(names(&one), ["b"]);
    assert!(one["metadata"].get("remainingItemCount").is_none());
    let two = server
        .get(&format!("{path}&continue={}", token(&one)))
        .await
        .json();
    assert_eq!(names(&two), ["d"]);
    assert!(two["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn a_page_of_a_moment_that_is_forgotten_is_gone_and_says_how_to_go_on() {
    let server = with(&NAMES).await;
    let one = page(&server, BASE, 2, "", "application/json").await;
    for n in 0..4200_u32 {
        let edit = move |current: &aegis_runtime::Stored| {
            let mut object = current.value();
            object["metadata"]["labels"] = json!({"n": n.to_string()});
            Ok(object)
        };
        let (info, part) = (aegis_api::kinds::find("wl").unwrap(), aegis_runtime::Part::Spec);
        server.store.edit(info, "e", part, false, edit).await.unwrap();
    }
    let path = format!("{BASE}?limit=2&continue={}", token(&one));
    let gone = server.get(&path).await;
    assert!(message(&gone).starts_with("410 Expired: "), "{}", gone.text);
    let on = page(&server, BASE, 10, &token(&gone.json()), "application/json").await;
    assert_eq!(names(&on), ["c", "d", "e"], "of now");
}

#[tokio::test]
async fn what_is_no_page_is_a_bad_request() {
    let server = with(&NAMES).await;
    let one = page(&server, BASE, 2, "", "application/json").await;
    for bad in [
        "limit=x".to_owned(),
        "limit=-1".to_owned(),
        "limit=2&continue=nonsense".to_owned(),
        format!("limit=2&resourceVersion=7&continue={}", token(&one)),
    ] {
        let refused = server.get(&format!("{BASE}?{bad}")).await;
        assert!(message(&refused).starts_with("400 BadRequest: "), "{bad}");
    }
}

#[tokio::test]
async fn events_are_read_in_pages_too() {
    let server = with(&[]).await;
    for n in 0..5 {
        let about = ObjectRef {
            kind: "Workload".to_owned(),
            name: format!("w{n}"),
            uid: String::new(),
        };
        server.events.record(&about, EventType::Normal, "Test", "x");
    }
    let base = "/api/v1/namespaces/default/events";
    for accept in ["application/json", TABLE] {
        let mut found = Vec::new();
        let mut list = page(&server, base, 2, "", accept).await;
        let made = list["metadata"]["resourceVersion"].clone();
        assert!(list["metadata"]["remainingItemCount"].as_u64() >= Some(3));
        loop {
            found.extend(names(&list));
            assert_eq!(list["metadata"]["resourceVersion"], made);
            if list["metadata"].get("continue").is_none() {
                break;
            }
            list = page(&server, base, 2, &token(&list), accept).await;
        }
        let mut all = names(&page(&server, base, 500, "", accept).await);
        assert_eq!(found.len(), all.len());
        found.sort();
        all.sort();
        assert_eq!(found, all);
    }
}
