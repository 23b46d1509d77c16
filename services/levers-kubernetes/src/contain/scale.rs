//! Scaling a contained workload to zero, and back to what it was.

use crate::Kubernetes;
use crate::api::annotation;
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds::{self, Kind};
use crate::names::BEFORE;
use serde_json::{Value, json};

/// What came of scaling down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaled {
    /// It shall have no pods.
    Down,
    /// Nobody asked for it.
    NotAsked,
    /// It cannot be; why.
    Cannot(&'static str),
}

impl Kubernetes {
    /// Asks for no pods, and notes what there was. The number belongs to somebody else, so it is changed where it
    /// stands and put back, not applied as ours: an applied number would be gone with our ownership.
    pub(super) async fn scale_down(&self, workload: &Workload) -> Result<Scaled> {
        if workload.controller().is_some() {
            return Ok(Scaled::Cannot("another controller would scale it up again"));
        }
        let (path, down, default) = match workload.kind {
            Kind::Deployment | Kind::StatefulSet => ("replicas", json!(0), json!(1)),
            Kind::Sandbox => ("operatingMode", json!("Suspended"), json!("Running")),
            Kind::DaemonSet => return Ok(Scaled::Cannot("a DaemonSet has no replicas")),
        };
        let (down, default) = (&down, &default);
        self.retried(workload, |workload| async move {
            let now = workload.object.data["spec"]
                .get(path)
                .cloned()
                .unwrap_or_else(|| default.clone());
            if now == *down {
                return Ok(());
            }
            // A second scaling, after somebody scaled it up by hand, must not forget the first.
            let before = annotation(&workload.object, BEFORE).map_or(now.to_string(), str::to_owned);
            let patch = json!({ "metadata": { "annotations": { BEFORE: before } }, "spec": { path: down } });
            self.server
                .merge(&workload.kind.resource(), &workload.object, patch)
                .await
                .map(|_| ())
        })
        .await?;
        Ok(Scaled::Down)
    }

    /// Back to what it was, if it was scaled down here.
    pub(crate) async fn scale_up(&self, workload: &Workload) -> Result<()> {
        let path = match workload.kind {
            Kind::Deployment | Kind::StatefulSet => "replicas",
            Kind::Sandbox => "operatingMode",
            Kind::DaemonSet => return Ok(()),
        };
        self.retried(workload, |workload| async move {
            let Some(before) = annotation(&workload.object, BEFORE) else {
                return Ok(());
            };
            let before: Value = serde_json::from_str(before).map_err(|_| {
                Trouble::Failed(format!(
                    "annotation {BEFORE} of {workload} is not readable: {before:?}"
                ))
            })?;
            let patch = json!({ "metadata": { "annotations": { BEFORE: null } }, "spec": { path: before } });
            self.server
                .merge(&workload.kind.resource(), &workload.object, patch)
                .await
                .map(|_| ())
        })
        .await
    }

    /// Waits until no pod of it is left.
    pub(super) async fn until_no_pod(&self, workload: &Workload, query: &str) -> Result<()> {
        let namespace = workload.place().namespace;
        self.until(|| async {
            let pods = self.server.list(&kinds::pods(), Some(&namespace), query).await?;
            match pods.len() {
                0 => Ok(None),
                left => Ok(Some(format!("{left} pods of {workload} still run"))),
            }
        })
        .await
    }

    /// Looks again and again until there is nothing left to wait for; the order's deadline ends it otherwise.
    pub(crate) async fn until<F>(&self, look: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<Option<String>>>,
    {
        let since = tokio::time::Instant::now();
        loop {
            let Some(waits_for) = look().await? else {
                return Ok(());
            };
            // The answer has to be out before the order's own deadline says less.
            if since.elapsed() + 2 * self.config.look() >= self.config.deadline() {
                return Err(Trouble::Pending(waits_for));
            }
            tokio::time::sleep(self.config.look()).await;
        }
    }

    /// Does something that depends on how the workload is, again when somebody else changed it meanwhile.
    pub(crate) async fn retried<T, F>(&self, workload: &Workload, act: impl Fn(Workload) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        const TRIES: u32 = 10;
        let mut current = workload.clone();
        let mut tries = 0;
        loop {
            match act(current.clone()).await {
                Err(Trouble::Conflict { .. }) if tries < TRIES => {}
                ended => return ended,
            }
            tries += 1;
            let place = current.place();
            let Some(object) = self.server.get(&current.kind.resource(), &place).await? else {
                return Err(Trouble::Failed(format!("{workload} was deleted meanwhile")));
            };
            current.object = object;
        }
    }
}
