//! The bus as a process has it.

use crate::config::is_word;
use crate::consumer::{Ending, RedisConsumer};
use crate::keys::Keys;
use crate::link::Site;
use crate::publisher::RedisPublisher;
use crate::{Address, Config, Metrics, Trouble};
use immune_bus::{Consumer, Publisher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// One process's way onto the vitals bus. Nothing here needs Redis to be there: what uses it connects by itself, and
/// again whenever the connection is lost.
pub struct RedisBus {
    site: Arc<Site>,
    publisher: Arc<RedisPublisher>,
    consumers: Mutex<Vec<Ending>>,
    tasks: TaskTracker,
}

impl RedisBus {
    /// A bus at an address. The configuration must have passed its check.
    pub fn connect(address: Address, config: Config, metrics: Metrics) -> Self {
        let keys = Keys::new(&config);
        let site = Arc::new(Site {
            address,
            config,
            keys,
            metrics,
        });
        RedisBus {
            publisher: Arc::new(RedisPublisher::new(site.clone())),
            site,
            consumers: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The sending end; all are one.
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        self.publisher.clone()
    }

    /// A replica of the consumer `name` (a role), which other replicas and operators see as `worker`: the name of
    /// the host or pod. Two starts under one name are told apart. Must be called within a tokio runtime. Dropping it
    /// gives its partitions back.
    ///
    /// # Panics
    /// When `name` is not a word of a-z, A-Z, 0-9, `.`, `_`, `-`: roles have such names.
    pub fn consumer(&self, name: &str, worker: &str) -> Box<dyn Consumer> {
        assert!(is_word(name), "{name:?} is the name of no role");
        let (consumer, ending) = RedisConsumer::start(&self.site, name, worker, &self.tasks);
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        consumers.retain(|ending| !ending.is_over());
        consumers.push(ending);
        Box::new(consumer)
    }

    /// Asks Redis whether it is there; for readiness. Waits for a connection, so the caller sets a limit.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn ping(&self) -> Result<(), Trouble> {
        self.publisher.ping().await
    }

    /// Ends the bus: publications are refused and those under way finish; consumers hear that nothing more comes,
    /// finish what they were given, acknowledge it and are dropped, which gives their partitions back. Returns when
    /// all that is done; when `within` is over partitions are given back all the same.
    pub async fn close(&self, within: Duration) {
        let consumers: Vec<Ending> = {
            let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
            consumers.clone()
        };
        self.publisher.close();
        consumers.iter().for_each(Ending::close);
        self.tasks.close();
        let ((), waited) = tokio::join!(
            self.publisher.drain(within),
            tokio::time::timeout(within, self.tasks.wait())
        );
        if waited.is_ok() {
            return;
        }
        tracing::warn!(
            ?within,
            "consumers were still at work when the vitals bus was closed"
        );
        consumers.iter().for_each(Ending::end);
        // Bounded: a keeper gives up after the time of a lease.
        self.tasks.wait().await;
    }
}
