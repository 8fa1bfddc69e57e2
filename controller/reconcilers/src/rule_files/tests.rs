//! Files in a real folder, listed as often as the test says.

use aegis_api::proposal::Evidence;
use aegis_brain::{BrainConfig, Case, ReplicaBounds};
use aegis_docker_fake::FakeEngine;

use super::*;
use crate::context::{Settings, tests::over};

const RULE: &str = "
- name: mine
  title: a case of mine
  when: [{desiredReplicas: {atLeast: 1}}]
  action: NOOP
  confidence: 0.9
  rootCause: known
  justification: leave it
";

struct World {
    rules: RuleFiles,
    brain: Arc<Brain>,
    context: Context,
    state: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (context, state) = over(&FakeEngine::default(), Settings::default()).await;
        let brain = Arc::new(Brain::new(BrainConfig::default()).unwrap());
        std::fs::create_dir(state.path().join("rules")).unwrap();
        Self {
            rules: RuleFiles::new(&context, Arc::clone(&brain)),
            brain,
            context,
            state,
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.state.path().join("rules").join(name), text).unwrap();
    }

    /// The rule that decides.
    async fn decides(&self) -> String {
        let case = Case {
            incident: "inc".into(),
            alert_type: "odd".into(),
            severity: aegis_api::incident::Severity::Warning,
            logs: String::new(),
            details: BTreeMap::new(),
            workload: "web".into(),
            container: None,
            evidence: Evidence {
                desired_replicas: 1,
                ..Evidence::default()
            },
            measured: Vec::new(),
            trusted: Vec::new(),
            balancers: Vec::new(),
            recalled: Vec::new(),
            replicas: ReplicaBounds {
                min: 1,
                max: 3,
                current: 1,
            },
            protected: false,
            tried: Vec::new(),
            terms: Default::default(),
            now: self.context.clock.now(),
        };
        self.brain.analyse(&case, &mut |_| {}).await.unwrap().model
    }

    fn events(&self) -> Vec<(String, String)> {
        let (_, events) = self.context.events.list();
        events
            .into_iter()
            .map(|event| (event.reason, event.message))
            .collect()
    }
}

#[tokio::test]
async fn a_file_is_in_force_at_the_first_look_and_a_deleted_one_no_more_at_the_second() {
    let mut world = World::new().await;
    let built_in = world.decides().await;
    world.write("20-b.yaml", &RULE.replace("mine", "later"));
    world.write("10-a.yaml", RULE);
    world.write("notes.txt", "not: [read");
    world.rules.rescan().await;
    assert_eq!(world.decides().await, "mine (rules/10-a.yaml)");
    std::fs::remove_file(world.state.path().join("rules/10-a.yaml")).unwrap();
    world.rules.rescan().await;
    assert_eq!(
        world.decides().await,
        "mine (rules/10-a.yaml)",
        "an editor may be about to rename"
    );
    world.rules.rescan().await;
    assert_eq!(world.decides().await, "later (rules/20-b.yaml)");
    std::fs::remove_dir_all(world.state.path().join("rules")).unwrap();
    world.rules.rescan().await;
    world.rules.rescan().await;
    assert_eq!(world.decides().await, built_in);
}

#[tokio::test]
async fn a_broken_file_is_reported_and_its_last_good_rules_stay_in_force() {
    let mut world = World::new().await;
    world.write("a.yaml", RULE);
    world.rules.rescan().await;
    world.write("a.yaml", &RULE.replace("NOOP", "DELETE"));
    world.rules.rescan().await;
    assert!(
        world.context.store.broken_files().is_empty(),
        "half of a change is not reported"
    );
    for _ in 0..3 {
        world.rules.rescan().await;
    }
    let expected = "rules/a.yaml: line 5, column 3: [0].action: unknown variant `DELETE`, expected one of `RESTART`, `SCALE_UP`, `SCALE_DOWN`, `ROLLBACK`, `NOOP`";
    let broken = world.context.store.broken_files();
    assert_eq!((broken.len(), broken[0].message.as_str()), (1, expected));
    let event = (
        "InvalidFile".to_owned(),
        format!("{expected} (its last good version stays in force)"),
    );
    assert_eq!(world.events(), [event]);
    assert_eq!(world.decides().await, "mine (rules/a.yaml)");

    world.write("a.yaml", &RULE.replace("mine", "mended"));
    world.rules.rescan().await;
    assert_eq!(world.decides().await, "mended (rules/a.yaml)");
    assert!(world.context.store.broken_files().is_empty());
    assert_eq!(world.events()[1].0, "FileRepaired");
}

#[tokio::test]
async fn a_broken_file_that_is_deleted_is_not_reported_any_more() {
    let mut world = World::new().await;
    world.write("a.yaml", "- [");
    world.rules.rescan().await;
    world.rules.rescan().await;
    assert_eq!(world.context.store.broken_files().len(), 1);
    assert!(world.events()[0].1.ends_with("(nothing of it is in force)"));
    std::fs::remove_file(world.state.path().join("rules/a.yaml")).unwrap();
    world.rules.rescan().await;
    world.rules.rescan().await;
    assert!(world.context.store.broken_files().is_empty());
}

#[tokio::test]
async fn when_the_state_directory_is_away_what_is_in_force_stays() {
    let mut world = World::new().await;
    world.write("a.yaml", RULE);
    world.rules.rescan().await;
    let state = world.state.path();
    let away = state.with_extension("away");
    std::fs::rename(state, &away).unwrap();
    for _ in 0..3 {
        world.rules.rescan().await;
    }
    assert_eq!(world.decides().await, "mine (rules/a.yaml)");
    std::fs::rename(&away, state).unwrap();
}
