use super::*;
use std::path::Path;

fn workload(name: &str, spec: &str) -> String {
    format!("apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: {name}\nspec:\n  {spec}\n")
}

fn problems(text: &str) -> Vec<String> {
    parse("f.yaml", text, Naming::Exact)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn files(paths: &[&Path]) -> FileArgs {
    FileArgs {
        filename: paths.iter().map(|path| path.to_path_buf()).collect(),
        recursive: false,
    }
}

#[test]
fn every_example_parses_and_decodes() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    // Prometheus and Grafana read what `monitoring` has.
    let folders = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let all = FileArgs {
        filename: folders.filter(|folder| !folder.ends_with("monitoring")).collect(),
        recursive: true,
    };
    let manifests = load(&all, Naming::Exact).unwrap();
    let names: Vec<_> = manifests
        .iter()
        .map(|manifest| manifest.target().to_string())
        .collect();
    for expected in [
        "workload/buggy-app-v2",
        "loadbalancer/aegis-lb",
        "remediationpolicy/default",
        "workload/web",
        "incident/manual-1",
        "remediationpolicy/buggy-app-v2-dry-run",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} is missing of {names:?}"
        );
    }
}

#[test]
fn an_error_names_file_line_column_field_and_what_is_allowed() {
    let text = format!(
        "{}---\n{}",
        workload("a", "container: a\n  replicaz: 2"),
        workload("b", "container: b\n  strategy:\n    type: Recreate")
    );
    let problems = problems(&text);
    assert!(
        problems[0].starts_with("f.yaml:7:3: spec.replicaz: unknown field (did you mean \"replicas\"?)"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("f.yaml:16:5: spec.strategy.type: Unsupported value: \"Recreate\""),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("\"RollingUpdate\", \"InPlace\""),
        "{problems:?}"
    );
}

#[test]
fn a_wrong_kind_version_or_namespace_names_what_is_supported() {
    let text = workload("a", "container: a");
    let kind = problems(&text.replace("Workload", "Deployment"));
    assert!(
        kind[0].starts_with(
            "f.yaml:2:1: kind: Unsupported value: \"Deployment\": supported values: \"Workload\""
        ),
        "{kind:?}"
    );
    let version = problems(&text.replace("v1alpha1", "v1"));
    assert!(
        version[0].contains("supported values: \"aegisops.io/v1alpha1\""),
        "{version:?}"
    );
    let namespace = problems(&text.replace("  name: a", "  name: a\n  namespace: prod"));
    assert!(
        namespace[0].starts_with("f.yaml:5:3: metadata.namespace"),
        "{namespace:?}"
    );
    assert!(problems("just a text\n")[0].contains("a resource is a map"));
}

#[test]
fn a_syntax_error_names_its_line() {
    assert!(problems("kind: A\nspec: 1\nkind: B\n")[0].starts_with("f.yaml:3:"));
}

#[test]
fn the_items_of_a_list_are_objects_and_keep_their_places() {
    let item = "- apiVersion: aegisops.io/v1alpha1\n  kind: Workload\n  metadata: {name: a, uid: x, resourceVersion: '7'}\n  spec: {container: a}\n  status: {replicas: 1}\n";
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{item}");
    let manifests = parse("f.yaml", &list, Naming::Exact).unwrap();
    assert_eq!(manifests[0].object["metadata"], serde_json::json!({"name": "a"}));
    assert!(manifests[0].object.get("status").is_none());
    let wrong = problems(&list.replace("container: a", "containr: a"));
    assert!(wrong[0].starts_with("f.yaml:7:10: spec.containr"), "{wrong:?}");
}

#[test]
fn a_folder_is_read_in_name_order_and_reports_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("b.yaml", &workload("second", "container: b"));
    write("a.yml", &workload("first", "container: a"));
    write("notes.txt", "not: yaml: at all");
    write(".hidden.yaml", "nonsense");
    let manifests = load(&files(&[folder.path()]), Naming::Exact).unwrap();
    assert_eq!(
        manifests
            .iter()
            .map(|manifest| manifest.name.as_str())
            .collect::<Vec<_>>(),
        ["first", "second"]
    );

    write("b.yaml", &workload("first", "container: b"));
    let error = load(&files(&[folder.path()]), Naming::Exact)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("workload/first stands in") && error.contains("nothing was sent"),
        "{error}"
    );

    write("a.yml", "kind: Nope\n");
    write("b.yaml", "kind: [\n");
    let error = load(&files(&[folder.path()]), Naming::Exact)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("2 problems") && error.contains("a.yml:1:1") && error.contains("b.yaml:"),
        "{error}"
    );
}

#[test]
fn nothing_to_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        load(&files(&[folder.path()]), Naming::Exact)
            .unwrap_err()
            .to_string()
            .contains("no *.yaml")
    );
    let missing = load(&files(&[&folder.path().join("x.yaml")]), Naming::Exact).unwrap_err();
    assert!(missing.to_string().contains("x.yaml"));
    let empty = folder.path().join("empty.yaml");
    std::fs::write(&empty, "# only a comment\n").unwrap();
    assert!(
        load(&files(&[&empty]), Naming::Exact)
            .unwrap_err()
            .to_string()
            .contains("no resources in")
    );
}

#[test]
fn generate_name_makes_a_name_only_where_it_is_allowed() {
    let text = workload("x", "container: a").replace("name: x", "generateName: inc-");
    let manifests = parse("f.yaml", &text, Naming::Generate).unwrap();
    assert!(
        manifests[0].name.starts_with("inc-") && manifests[0].name.len() == 9,
        "{}",
        manifests[0].name
    );
    assert!(problems(&text)[0].contains("metadata.name: Required value"));
}

#[test]
fn i11_a_problem_with_hostile_text_is_safe_to_print() {
    let text = workload("a", "container: a\n  \"\\e[31mred\": 1");
    let error = CliError::Manifests(parse("f.yaml", &text, Naming::Exact).unwrap_err());
    assert!(!error.to_string().contains('\x1b'), "{error}");
}
