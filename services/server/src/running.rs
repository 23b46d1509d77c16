//! A started process, and how it ends.

use crate::bus::Closing;
use crate::channels::Channels;
use crate::host::Addresses;
use crate::wiring::Backends;
use anyhow::Context;
use immune_runtime::health::Readiness;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A started process.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    /// Ways to the roles, for whoever embeds the process.
    pub channels: Channels,
    pub(crate) intake: CancellationToken,
    pub(crate) work: CancellationToken,
    pub(crate) intake_tasks: JoinSet<anyhow::Result<()>>,
    pub(crate) work_tasks: JoinSet<anyhow::Result<()>>,
    pub(crate) backends: Backends,
    pub(crate) bus: Closing,
    pub(crate) readiness: Readiness,
    /// Ends what watches over the others: connections to other processes, readiness.
    pub(crate) watching: CancellationToken,
}

impl Running {
    /// Waits until the token is cancelled or something that should run for ever ends; then drains: doors first,
    /// so that nothing new is accepted; then what was accepted goes through every role; then the stores close.
    ///
    /// # Errors
    /// What ended a task that should have run on.
    pub async fn until(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.until_after(shutdown, async {}).await.1
    }

    /// As [`Running::until`], with something to do between the signal and the drain, while every role still answers.
    pub async fn until_after<T>(
        mut self,
        shutdown: CancellationToken,
        last: impl Future<Output = T>,
    ) -> (T, anyhow::Result<()>) {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = self.intake_tasks.join_next(), if !self.intake_tasks.is_empty() => unexpected(ended),
            ended = self.work_tasks.join_next() => unexpected(ended),
        };
        let last = last.await;
        self.readiness.drain();
        self.intake.cancel();
        let doors = all(&mut self.intake_tasks).await;
        self.bus.flush().await;
        self.work.cancel();
        let work = all(&mut self.work_tasks).await;
        self.bus.close().await;
        self.backends.close().await;
        self.watching.cancel();
        (last, ended.and(doors).and(work))
    }
}

fn unexpected(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(Ok(Ok(()))) => anyhow::bail!("a part of the process has stopped; its log says which"),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(error).context("a part of the process has failed"),
        None => anyhow::bail!("nothing runs"),
    }
}

async fn all(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended
            .context("a part of the process has failed")
            .and_then(|ended| ended);
        first = first.and(ended);
    }
    first
}
