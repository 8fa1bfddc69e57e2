//! What a workload needs to be well before its own sickness means anything: what its spec names, what Compose wrote on
//! its container, and the container whose network it shares. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_api::observed::{
    COMPOSE_PROJECT, COMPOSE_SERVICE, ContainerDetails, ContainerState, ContainerSummary,
};
use aegis_api::workload::{DependencyStatus, Health};
use aegis_api::{ContainerId, ContainerName, Kind, Workload};

/// `True` on what `docker compose run` started: it has its service's labels, and is not the service.
const ONE_OFF: &str = "com.docker.compose.oneoff";
/// Where a project's files are: it tells apart two projects of one name.
const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// `db:service_healthy:false,cache:service_started:false`: the service, its condition, and whether its restart restarts
/// this one, too. Compose writes down no `required: false`.
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Names of containers, with commas between them.
const WATCHTOWER: &str = "com.centurylinklabs.watchtower.depends-on";
/// More names in one label are not read.
const MOST_NAMED: usize = 64;
const COMPLETED: &str = "service_completed_successfully";

/// Everything a workload needs, each with what is wrong with it.
pub fn dependencies(
    workloads: &[Arc<Workload>],
    workload: &Workload,
    base: Option<&ContainerDetails>,
    all: &[ContainerSummary],
) -> Vec<DependencyStatus> {
    let known = Known { workloads, all };
    let mut found: Vec<DependencyStatus> = Vec::new();
    for name in &workload.spec.depends_on {
        found.push(known.named(workload.name(), name.as_str()));
    }
    for (service, condition) in base.iter().flat_map(|base| services(base)) {
        let project = base.and_then(|base| base.labels.get(COMPOSE_PROJECT));
        let of_service = |row: &&ContainerSummary| {
            !is_one_off(row)
                && row.labels.get(COMPOSE_PROJECT) == project
                && row.labels.get(COMPOSE_SERVICE).map(String::as_str) == Some(service)
        };
        let rows: Vec<&ContainerSummary> = all.iter().filter(of_service).collect();
        let rows = of_same_folder(rows, base);
        found.push(known.containers(workload.name(), service, &rows, condition == COMPLETED));
    }
    for name in base.iter().flat_map(|base| watched(base)) {
        let rows: Vec<&ContainerSummary> = all.iter().filter(|row| row.name == name).collect();
        found.push(known.containers(workload.name(), name, &rows, false));
    }
    if let Some(owner) = base.and_then(|base| network_owner(base, all)) {
        let mut needed = known.containers(workload.name(), &owner.name, &[owner], false);
        // By its id it is known again once it is gone: see [`remembered`].
        needed.containers.push(owner.id.to_string());
        found.push(needed);
    } else if let Some(id) = base.and_then(owner_of) {
        let name = remembered(workload).remove(id);
        found.push(DependencyStatus {
            name: name.clone().unwrap_or_else(|| id.chars().take(12).collect()),
            workload: None,
            containers: name.into_iter().chain([id.to_owned()]).collect(),
            trouble: Some("it no longer exists".to_owned()),
            completes: false,
        });
    }
    let mut names = BTreeSet::new();
    found.retain(|dependency| names.insert(dependency.name.clone()));
    for dependency in &mut found {
        if is_optional(workload, dependency) {
            dependency.trouble = None;
        }
    }
    found
}

/// Whether a dependency that was found in labels holds nothing back. What the spec itself names does.
fn is_optional(workload: &Workload, dependency: &DependencyStatus) -> bool {
    let spec = &workload.spec;
    let has = |names: &[ContainerName]| names.iter().any(|name| name.as_str() == dependency.name);
    has(&spec.optional_dependencies) && !has(&spec.depends_on)
}

/// Where containers of two projects of one name are there, those that were made from the same folder.
fn of_same_folder<'a>(
    rows: Vec<&'a ContainerSummary>,
    base: Option<&ContainerDetails>,
) -> Vec<&'a ContainerSummary> {
    let Some(folder) = base.and_then(|base| base.labels.get(WORKING_DIR)) else {
        return rows;
    };
    let same = |row: &&&ContainerSummary| row.labels.get(WORKING_DIR) == Some(folder);
    match rows.iter().any(|row| same(&row)) {
        true => rows.into_iter().filter(|row| same(&row)).collect(),
        false => rows,
    }
}

/// Names of the containers that Watchtower is to restart before this one.
fn watched(base: &ContainerDetails) -> impl Iterator<Item = &str> {
    let label = base.labels.get(WATCHTOWER);
    let names = label.into_iter().flat_map(|label| label.split(','));
    names
        .map(|name| name.trim().trim_start_matches('/'))
        .filter(|name| !name.is_empty() && *name != base.name)
        .take(MOST_NAMED)
}

/// Whether a container only ran beside a service, whether it is well or not.
fn is_one_off(row: &ContainerSummary) -> bool {
    let label = row.labels.get(ONE_OFF);
    label.is_some_and(|label| label.eq_ignore_ascii_case("true"))
}

/// Names and conditions of the services that a container of Compose depends on.
fn services(base: &ContainerDetails) -> impl Iterator<Item = (&str, &str)> {
    let label = base
        .labels
        .get(DEPENDS_ON)
        .filter(|_| base.labels.contains_key(COMPOSE_PROJECT));
    let entries = label.into_iter().flat_map(|label| label.split(','));
    let entries = entries.filter_map(|entry| {
        let mut parts = entry.trim().split(':');
        let service = parts.next().filter(|service| !service.is_empty())?;
        Some((service, parts.next().unwrap_or_default()))
    });
    entries.take(MOST_NAMED)
}

/// Whose network a container shares (`network_mode: container:…` and `service:…`).
pub fn network_owner<'a>(
    container: &ContainerDetails,
    all: &'a [ContainerSummary],
) -> Option<&'a ContainerSummary> {
    let owner = owner_of(container)?;
    all.iter().find(|row| row.id == owner || row.name == owner)
}

/// As the container names it: by id, unless there was no such container yet when it was made.
fn owner_of(container: &ContainerDetails) -> Option<&str> {
    container
        .host_config
        .get("NetworkMode")?
        .as_str()?
        .strip_prefix("container:")
}

/// Id → name of the containers whose networks were shared when the workload was observed last.
pub fn remembered(workload: &Workload) -> BTreeMap<ContainerId, String> {
    let needed = workload.status.iter().flat_map(|status| &status.dependencies);
    let pairs = needed.filter_map(|needed| {
        let id = needed.containers.iter().find(|id| is_id(id))?;
        let name = needed.containers.iter().find(|name| !is_id(name))?;
        Some((id.as_str().into(), name.clone()))
    });
    pairs.collect()
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

struct Known<'a> {
    workloads: &'a [Arc<Workload>],
    all: &'a [ContainerSummary],
}

impl Known<'_> {
    /// A dependency of the spec: a Workload of this name, else a container.
    fn named(&self, of: &str, name: &str) -> DependencyStatus {
        let Some(needed) = self.workloads.iter().find(|workload| workload.name() == name) else {
            let rows: Vec<&ContainerSummary> = self.all.iter().filter(|row| row.name == name).collect();
            return self.containers(of, name, &rows, false);
        };
        let ready = needed.status.as_ref().map_or(0, |status| status.ready_replicas);
        let trouble =
            (ready == 0 && needed.spec.replicas > 0).then(|| "no container of it is ready".to_owned());
        self.status(of, name, Some(name.to_owned()), Vec::new(), trouble)
    }

    /// A dependency on containers, of which one that is well is enough.
    fn containers(
        &self,
        of: &str,
        name: &str,
        rows: &[&ContainerSummary],
        completes: bool,
    ) -> DependencyStatus {
        let mut troubles: Vec<Option<String>> = rows.iter().map(|row| self.trouble(row, completes)).collect();
        // What was only to complete may have been cleaned up since.
        if troubles.is_empty() && !completes {
            troubles.push(Some("there is no such container".to_owned()));
        }
        let trouble = match troubles.iter().any(Option::is_none) {
            true => None,
            false => troubles.into_iter().flatten().next(),
        };
        let owner = rows
            .iter()
            .find_map(|row| self.owner(row))
            .map(|owner| owner.name().to_owned());
        let names = rows.iter().map(|row| row.name.clone()).collect();
        DependencyStatus {
            completes,
            ..self.status(of, name, owner, names, trouble)
        }
    }

    fn status(
        &self,
        of: &str,
        name: &str,
        workload: Option<String>,
        containers: Vec<String>,
        trouble: Option<String>,
    ) -> DependencyStatus {
        // Two that need each other would wait for each other: each heals as if it were alone.
        let mutual = workload.as_ref().is_some_and(|needed| self.needs(needed, of));
        DependencyStatus {
            name: name.to_owned(),
            workload,
            containers,
            trouble: trouble.filter(|_| !mutual),
            completes: false,
        }
    }

    /// The Workload that a container belongs to.
    fn owner(&self, row: &ContainerSummary) -> Option<&Workload> {
        let mut workloads = self.workloads.iter();
        let owns = |workload: &&Arc<Workload>| {
            let mut rows = workload.status.iter().flat_map(|status| &status.instances);
            rows.any(|instance| instance.id == row.id)
        };
        workloads.find(owns).map(|workload| &**workload)
    }

    fn trouble(&self, row: &ContainerSummary, completes: bool) -> Option<String> {
        if completes && row.state == ContainerState::Exited && row.status.starts_with("Exited (0)") {
            return None;
        }
        if row.state != ContainerState::Running {
            return Some(format!("{} is {}", row.name, row.state.as_str()));
        }
        if row.status.contains("(unhealthy)") {
            return Some(format!("Docker's health check of {} fails", row.name));
        }
        let instances = self
            .owner(row)?
            .status
            .iter()
            .flat_map(|status| &status.instances);
        let unhealthy = instances
            .filter(|instance| instance.id == row.id)
            .any(|instance| instance.health == Health::Unhealthy);
        unhealthy.then(|| format!("{} fails its probe", row.name))
    }

    /// Whether one Workload needs another, by any way round.
    fn needs(&self, from: &str, target: &str) -> bool {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            if name == target {
                return true;
            }
            if !seen.insert(name) {
                continue;
            }
            let workload = self.workloads.iter().find(|workload| workload.name() == name);
            let named = workload.iter().flat_map(|workload| &workload.spec.depends_on);
            open.extend(named.map(AsRef::as_ref));
            let known = workload
                .iter()
                .flat_map(|workload| &workload.status)
                .flat_map(|status| &status.dependencies);
            open.extend(known.filter_map(|dependency| dependency.workload.as_deref()));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::{kinds, yaml};

    fn row(name: &str, service: &str, state: ContainerState, status: &str) -> ContainerSummary {
        let labels = [(COMPOSE_PROJECT, "shop"), (COMPOSE_SERVICE, service)];
        ContainerSummary {
            id: format!("{name:x<64}").into(),
            name: name.to_owned(),
            image: "app".to_owned(),
            state,
            status: status.to_owned(),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..ContainerSummary::default()
        }
    }

    fn stored(name: &str, needs: &str) -> Arc<Workload> {
        let text = format!(
            "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{container: {name}, dependsOn: [{needs}]}}\n"
        );
        let value = yaml::parse(&text).unwrap().remove(0).value;
        let (_, typed) = kinds::find("wl").unwrap().decode(value).unwrap();
        typed.downcast::<Workload>().unwrap()
    }

    #[test]
    fn what_compose_wrote_and_the_owner_of_the_network_are_known_without_being_named() {
        let web = stored("web", "");
        let stored = [web.clone()];
        let all = [
            row(
                "shop_db_1",
                "db",
                ContainerState::Exited,
                "Exited (1) 2 minutes ago",
            ),
            row(
                "shop_init_1",
                "init",
                ContainerState::Exited,
                "Exited (0) 1 hour ago",
            ),
            row(
                "shop_cache_1",
                "cache",
                ContainerState::Running,
                "Up 2 minutes (unhealthy)",
            ),
            row(
                "shop_cache_2",
                "cache",
                ContainerState::Running,
                "Up 2 minutes (healthy)",
            ),
            row("shop_vpn_1", "vpn", ContainerState::Running, "Up 2 minutes"),
        ];
        let mut base = ContainerDetails::default();
        let depends = "db:service_healthy:false,init:service_completed_successfully:false,pruned:service_completed_successfully:false,cache:service_started:true";
        for (key, value) in [(COMPOSE_PROJECT, "shop"), (DEPENDS_ON, depends)] {
            base.labels.insert(key.to_owned(), value.to_owned());
        }
        base.host_config = serde_json::json!({"NetworkMode": format!("container:{}", all[4].id)});
        let found = dependencies(&stored, &web, Some(&base), &all);
        let names: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|dependency| (dependency.name.as_str(), dependency.trouble.as_deref()))
            .collect();
        assert_eq!(
            names,
            [
                ("db", Some("shop_db_1 is exited")),
                ("init", None),
                ("pruned", None),
                ("cache", None),
                ("shop_vpn_1", None)
            ]
        );
    }

    #[test]
    fn what_compose_run_started_never_stands_for_its_service() {
        let web = stored("web", "");
        let stored = [web.clone()];
        let up = || {
            row(
                "shop_db_1",
                "db",
                ContainerState::Running,
                "Up 2 minutes (healthy)",
            )
        };
        let one_off = |word: &str, state, status: &str| {
            let mut row = row("shop_db_run_1", "db", state, status);
            row.labels.insert(ONE_OFF.to_owned(), word.to_owned());
            row
        };
        let healthy = |word: &str| one_off(word, ContainerState::Running, "Up 2 minutes (healthy)");
        let completed = || one_off("True", ContainerState::Exited, "Exited (0) 1 minute ago");
        let cases = [
            (
                "the service is down",
                vec![healthy("True")],
                "service_healthy",
                true,
            ),
            (
                "as Compose v2 spells it",
                vec![healthy("true")],
                "service_healthy",
                true,
            ),
            (
                "no one-off at all",
                vec![healthy("False")],
                "service_healthy",
                false,
            ),
            (
                "an unhealthy one-off beside the service",
                vec![up(), one_off("True", ContainerState::Exited, "Exited (1)")],
                "service_healthy",
                false,
            ),
            (
                "a one-off that completed is not the service either",
                vec![completed()],
                "service_started",
                true,
            ),
        ];
        for (case, all, condition, down) in cases {
            let mut base = ContainerDetails::default();
            base.labels.insert(COMPOSE_PROJECT.to_owned(), "shop".to_owned());
            base.labels
                .insert(DEPENDS_ON.to_owned(), format!("db:{condition}:false"));
            let found = dependencies(&stored, &web, Some(&base), &all);
            assert_eq!(found[0].trouble.is_some(), down, "{case}: {found:?}");
        }
    }

    /// An adopted container with these labels of Compose v2, and what it needs among these.
    fn found(
        workload: &Arc<Workload>,
        labels: &[(&str, &str)],
        all: &[ContainerSummary],
    ) -> Vec<(String, bool)> {
        let mut base = ContainerDetails::default();
        for (key, value) in labels {
            base.labels.insert((*key).to_owned(), (*value).to_owned());
        }
        let found = dependencies(std::slice::from_ref(workload), workload, Some(&base), all);
        let shown = found.into_iter();
        shown
            .map(|dependency| (dependency.name, dependency.trouble.is_some()))
            .collect()
    }

    #[test]
    fn what_is_optional_holds_nothing_back_unless_the_spec_itself_needs_it() {
        // What Compose v2 writes for `db: {condition: service_healthy, required: false}`: nothing of `required`.
        let labels = [
            (COMPOSE_PROJECT, "shop"),
            (DEPENDS_ON, "db:service_healthy:false,cache:service_started:true"),
        ];
        let with = |spec: &str| {
            let text = format!(
                "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata: {{name: web}}\nspec: {{container: web, {spec}}}\n"
            );
            let value = yaml::parse(&text).unwrap().remove(0).value;
            let (_, typed) = kinds::find("wl").unwrap().decode(value).unwrap();
            typed.downcast::<Workload>().unwrap()
        };
        let down = |spec: &str| {
            let found = found(&with(spec), &labels, &[]);
            let down = found.into_iter().filter(|(_, down)| *down);
            down.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(down("replicas: 1"), ["db", "cache"]);
        assert_eq!(down("optionalDependencies: [db]"), ["cache"]);
        assert_eq!(down("optionalDependencies: [db, cache]"), Vec::<String>::new());
        assert_eq!(
            down("optionalDependencies: [db], dependsOn: [db]"),
            ["db", "cache"]
        );
    }

    #[test]
    fn of_two_projects_of_one_name_the_one_from_the_same_folder_is_meant() {
        let at = |folder: &str, state, status: &str| {
            let mut row = row("app_db_1", "db", state, status);
            row.labels.insert(WORKING_DIR.to_owned(), folder.to_owned());
            row
        };
        let up = |folder: &str| at(folder, ContainerState::Running, "Up 2 minutes");
        let down = |folder: &str| at(folder, ContainerState::Exited, "Exited (1) 2 days ago");
        let labels = [
            (COMPOSE_PROJECT, "shop"),
            (WORKING_DIR, "/srv/new"),
            (DEPENDS_ON, "db:service_started:false"),
        ];
        let web = stored("web", "");
        let is_down = |all: &[ContainerSummary]| found(&web, &labels, all)[0].1;
        assert!(is_down(&[up("/srv/old"), down("/srv/new")]));
        assert!(!is_down(&[down("/srv/old"), up("/srv/new")]));
        assert!(
            !is_down(&[up("/srv/old")]),
            "started from another folder: the only one there is"
        );
    }

    #[test]
    fn what_watchtower_restarts_first_is_needed_and_nothing_else_that_a_label_lists() {
        let labels = [
            (WATCHTOWER, "/vpn, ,db"),
            ("com.example.depends_on", "nothing"),
            // Without a project it is not known whose services these are.
            (DEPENDS_ON, "ghost:service_started:false"),
        ];
        let web = stored("web", "");
        let all = [row("vpn", "vpn", ContainerState::Running, "Up")];
        assert_eq!(
            found(&web, &labels, &all),
            [("vpn".to_owned(), false), ("db".to_owned(), true)]
        );
    }

    #[test]
    fn two_that_need_each_other_do_not_wait_for_each_other() {
        let (a, b) = (stored("a", "b"), stored("b", "c"));
        let trouble =
            |all: &[Arc<Workload>], of: &Workload| dependencies(all, of, None, &[])[0].trouble.clone();
        let two = [a.clone(), b.clone()];
        assert_eq!(trouble(&two, &a).as_deref(), Some("no container of it is ready"));
        assert_eq!(trouble(&two, &b).as_deref(), Some("there is no such container"));
        let c = stored("c", "a");
        let all = [a, b, c];
        assert_eq!(all.each_ref().map(|of| trouble(&all, of)), [None, None, None]);
    }
}
