//! Gives the notifiers what they need: the incidents as they change, a folder to remember in, instruments, what policies
//! say, and the way in which a click in Slack becomes a decision. Decides nothing.

mod clicks;
mod instruments;
mod policies;
mod reconciles;

use std::sync::Arc;

use aegis_api::wire::{NotificationList, NotificationTest, NotificationTests};
use aegis_api::{Incident, Kind, Time};
use aegis_notify::{
    App, ConfigError, Destination, Handle, Level, Look, Mail, Notifier, Otlp, Reconciles, Slack,
    Surroundings, Update, Webhook,
};
use aegis_planning::admission::HostMounts;
use aegis_planning::correlation::burst::Closeness;
use aegis_runtime::store::{StoreEvent, Verb};
use aegis_runtime::{EventRecorder, EventType, Feed, ObjectRef, Store};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::args::Notifications;
use crate::silenced;
use clicks::SlackClicks;

/// What the notifiers are wired to.
pub(crate) struct Around<'a> {
    pub(crate) store: &'a Store,
    pub(crate) events: &'a EventRecorder,
    pub(crate) mounts: HostMounts,
    /// Where no policy says it.
    pub(crate) cooldown: aegis_api::Duration,
    /// How close alerts of one burst are.
    pub(crate) closeness: Closeness,
}

/// The notifiers, one a destination, and what takes clicks.
pub(crate) struct Notifiers {
    all: Vec<Notifier>,
    reconciles: Option<Reconciles>,
    clicks: Option<SlackClicks>,
    /// What the server knows of them.
    pub(crate) view: aegis_server::Notifications,
}

impl Notifiers {
    /// Those that are configured.
    pub(crate) async fn open(
        args: &Notifications,
        around: &Around<'_>,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let app = app(args)?;
        let clicks = app
            .clone()
            .map(|app| SlackClicks::new(args, app, around))
            .transpose()?;
        let look = Look {
            cockpit: args.cockpit_url.clone(),
            buttons: clicks.as_ref().is_some_and(SlackClicks::can_decide),
            silences: true,
        };
        let folder = around.store.dir().join(".notify");
        let mut all = Vec::new();
        for (destination, level) in destinations(args, app)? {
            tracing::info!("incidents are reported to {}", destination.name());
            let surroundings = surroundings(around, look.clone());
            all.push(Notifier::open(destination, level, surroundings, folder.clone()).await);
        }
        let reconciles = reconciles::of(args)?;
        let handles = all.iter().map(Notifier::handle);
        let handles: Arc<[Handle]> = handles.chain(reconciles.iter().map(Reconciles::handle)).collect();
        if !handles.is_empty() {
            let clicks = clicks.as_ref().map(|clicks| Arc::clone(&clicks.clicks));
            registry.register_collector(Box::new(instruments::Instruments::new(
                Arc::clone(&handles),
                clicks,
            )));
        }
        let view = view(&handles, clicks.as_ref());
        Ok(Self {
            all,
            reconciles,
            clicks,
            view,
        })
    }

    /// What runs until the shutdown, by name.
    pub(crate) fn tasks(
        self,
        store: &Store,
        feed: &Feed,
        shutdown: &CancellationToken,
    ) -> Vec<(&'static str, Task)> {
        let mut tasks: Vec<(&'static str, Task)> = Vec::new();
        for notifier in self.all {
            let updates = updates(store, notifier.is_for_people());
            let run = notifier.run(updates, shutdown.clone());
            tasks.push(("notifications", Box::pin(run)));
        }
        if let Some(reconciles) = self.reconciles {
            let run = reconciles.run(reconciles::news(store, feed), shutdown.clone());
            tasks.push(("reconciles as CloudEvents", Box::pin(run)));
        }
        if let Some(clicks) = self.clicks {
            tasks.extend(clicks.tasks(shutdown));
        }
        tasks
    }
}

/// What runs until the shutdown.
pub(crate) type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn app(args: &Notifications) -> anyhow::Result<Option<Arc<App>>> {
    let Some(token) = &args.slack_bot_token else {
        anyhow::ensure!(
            args.slack_app_token.is_none() && args.slack_signing_secret.is_none(),
            "SLACK_APP_TOKEN and SLACK_SIGNING_SECRET belong to a Slack app: set SLACK_BOT_TOKEN, too"
        );
        return Ok(None);
    };
    let channel = args.slack_channel.as_deref().unwrap_or_default();
    Ok(Some(Arc::new(App::new(&args.slack_api_url, token, channel)?)))
}

fn destinations(args: &Notifications, app: Option<Arc<App>>) -> anyhow::Result<Vec<(Destination, Level)>> {
    let mut all = Vec::new();
    if let Some(url) = &args.slack_webhook_url {
        all.push((Destination::Slack(Slack::new(url)?), args.slack_notify));
    }
    if let Some(app) = app {
        all.push((Destination::SlackApp(app), args.slack_notify));
    }
    if let Some(url) = &args.notify_webhook_url {
        all.push((Destination::Webhook(webhook(args, url)?), Level::Important));
    }
    if let Some(url) = &args.notify_smtp_url {
        let mail = Mail::new(url, &args.notify_email_from, &args.notify_email_to)?;
        all.push((Destination::Email(mail), Level::End));
    }
    if let Some(endpoint) = &args.otlp_endpoint {
        let otlp = Otlp::new(endpoint, args.otlp_headers.as_ref(), &args.otel_service_name)?;
        all.push((Destination::Otlp(otlp), Level::End));
    }
    Ok(all)
}

fn webhook(args: &Notifications, url: &SecretString) -> Result<Webhook, ConfigError> {
    let (secret, template) = (args.notify_webhook_secret.as_ref(), &args.notify_webhook_template);
    Webhook::new(url, secret, template)
}

fn surroundings(around: &Around<'_>, look: Look) -> Surroundings {
    let (store, events) = (around.store.clone(), around.events.clone());
    Surroundings {
        wishes: policies::wishes(around.store.clone(), around.cooldown),
        is_ongoing: policies::is_ongoing(around.store.clone()),
        report: Arc::new(move |destination, incident, why| {
            let Some(incident) = store.get::<Incident>(incident) else {
                return;
            };
            let message = format!("a notification to {destination} was given up: {why}");
            events.record(
                &ObjectRef::of(&*incident),
                EventType::Warning,
                "NotificationDropped",
                message,
            );
        }),
        closeness: aegis_notify::Closeness {
            quiet: around.closeness.quiet.std(),
            longest: around.closeness.longest.std(),
        },
        look,
    }
}

fn view(handles: &Arc<[Handle]>, clicks: Option<&SlackClicks>) -> aegis_server::Notifications {
    let (listed, tested) = (Arc::clone(handles), Arc::clone(handles));
    aegis_server::Notifications {
        log: Arc::new(move || {
            let journals = || listed.iter().map(Handle::journal);
            let mut deliveries: Vec<_> = journals().flat_map(|journal| journal.deliveries()).collect();
            deliveries.sort_by_key(|delivery| std::cmp::Reverse(delivery.at));
            NotificationList {
                destinations: journals().map(|journal| journal.view()).collect(),
                deliveries,
            }
        }),
        test: Arc::new(move |name| {
            let wanted =
                |handle: &&Handle| name.as_deref().is_none_or(|name| handle.journal().name() == name);
            let chosen: Vec<Handle> = tested.iter().filter(wanted).cloned().collect();
            if name.is_some() && chosen.is_empty() {
                return Box::pin(std::future::ready(None));
            }
            Box::pin(async move {
                let results = chosen.iter().map(|handle| async {
                    NotificationTest {
                        destination: handle.journal().name().to_owned(),
                        error: handle.test().await.err(),
                    }
                });
                let results = futures::future::join_all(results).await;
                Some(NotificationTests { results })
            })
        }),
        slack: clicks.map(SlackClicks::http),
    }
}

/// Every incident at the start, each change after it, and all again after a gap and when a silence begins or ends; for
/// people what is silenced is marked as such.
fn updates(store: &Store, for_people: bool) -> BoxStream<'static, Update> {
    let (store, filtering) = (store.clone(), store.clone());
    let unfolded = stream::unfold((store, None), |(store, watching)| async move {
        let (mut changes, standing): (BoxStream<'static, StoreEvent>, Vec<String>) = match watching {
            Some(watching) => watching,
            None => {
                // First the watch, then the list: what changes in between comes twice, and is inspected twice.
                let changes = store.watch(None).ok()?;
                let all = store.list::<Incident>();
                let standing = silenced::standing(&store, now());
                return Some((Some(Update::All(all)), (store, Some((changes, standing)))));
            }
        };
        let next = tokio::time::timeout(silenced::EVERY, changes.next()).await;
        let current = silenced::standing(&store, now());
        Some(match next {
            Ok(None) => (None, (store, None)),
            _ if current != standing => {
                let all = store.list::<Incident>();
                (Some(Update::All(all)), (store, Some((changes, current))))
            }
            Ok(Some(event)) => (update(&event), (store, Some((changes, standing)))),
            Err(_) => (None, (store, Some((changes, standing)))),
        })
    });
    unfolded
        .flat_map(move |update| {
            let heard = match update {
                Some(update) if for_people => silenced::heard(&filtering, update, now()),
                update => update.into_iter().collect(),
            };
            stream::iter(heard)
        })
        .boxed()
}

fn now() -> Time {
    aegis_clock::now()
}

fn update(event: &StoreEvent) -> Option<Update> {
    if event.object.info.plural != Incident::PLURAL {
        return None;
    }
    match event.verb {
        Verb::Added | Verb::Modified => event.object.typed().map(Update::Changed),
        Verb::Deleted => Some(Update::Gone(event.object.uid().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::Silence;
    use aegis_api::kinds::find;
    use aegis_runtime::StoreOptions;
    use serde_json::{Value, json};

    use super::*;

    async fn create(store: &Store, kind: &str, name: &str, spec: Value) {
        let object = json!({"apiVersion": aegis_api::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
        store.create(find(kind).unwrap(), object, false).await.unwrap();
    }

    /// What the next update says of the incident, past those that say nothing of it.
    async fn next(updates: &mut BoxStream<'static, Update>) -> &'static str {
        let about = |incident: &Arc<Incident>| incident.name() == "i";
        let said = async {
            loop {
                match updates.next().await.unwrap() {
                    Update::All(all) if all.iter().any(about) => return "all",
                    Update::Changed(incident) if about(&incident) => return "changed",
                    Update::Silenced(incident) if about(&incident) => return "silenced",
                    _ => {}
                }
            }
        };
        let longest = std::time::Duration::from_secs(60);
        tokio::time::timeout(longest, said).await.unwrap_or("nothing")
    }

    #[tokio::test]
    async fn people_hear_nothing_new_of_a_silenced_incident_until_the_silence_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(dir.path());
        let (store, driver) = Store::open(options, EventRecorder::new()).await.unwrap();
        tokio::spawn(driver.run(CancellationToken::new()));
        create(&store, "Workload", "web", json!({"container": "web"})).await;
        let silence = json!({"owner": "ada", "reason": "x", "until": "2099-01-01T00:00:00Z", "workloads": {"names": ["web"]}});
        create(&store, "Silence", "s", silence).await;
        create(
            &store,
            "Incident",
            "i",
            json!({"workloadRef": "web", "alertType": "x"}),
        )
        .await;
        let (mut people, mut machines) = (updates(&store, true), updates(&store, false));
        assert_eq!(
            (next(&mut people).await, next(&mut machines).await),
            ("silenced", "all")
        );
        let edit = |count: u32| {
            store.edit_spec::<Incident, _>("i", move |current| {
                let mut spec = current.spec.clone();
                spec.count = count;
                Ok(spec)
            })
        };
        edit(2).await.unwrap();
        assert_eq!(
            (next(&mut people).await, next(&mut machines).await),
            ("silenced", "changed")
        );
        let over = store.edit_spec::<Silence, _>("s", |current| {
            let mut spec = current.spec.clone();
            spec.until = Some("2026-01-01T00:00:00Z".parse().unwrap());
            Ok(spec)
        });
        over.await.unwrap();
        assert_eq!(
            next(&mut people).await,
            "all",
            "what is still open is heard of then"
        );
        edit(3).await.unwrap();
        assert_eq!(next(&mut people).await, "changed");
    }
}
