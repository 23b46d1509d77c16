//! A bus with partitions that delivers again: the test says who holds what. It stands in for every divided bus, by
//! the contract alone.

use immune_bus::{Arrival, Batch, Begin, Consumer, Delivery, Partition, Record};
use immune_domain::{AgentKey, Timestamp};
use immune_runtime::clock::{Clock, System};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The bus; its entries are kept for ever.
#[derive(Clone)]
pub struct Bus {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

struct State {
    partitions: Vec<Log>,
    replicas: BTreeMap<usize, Inbox>,
    next_replica: usize,
    begun: Vec<(u16, Begin)>,
}

#[derive(Default)]
struct Log {
    entries: Vec<(Timestamp, Batch)>,
    /// Entries that were acknowledged.
    acked: usize,
    holder: Option<usize>,
}

#[derive(Default)]
struct Inbox {
    news: VecDeque<Arrival>,
    /// The next entry of each partition whose deliveries have begun.
    cursors: BTreeMap<u16, usize>,
}

/// One replica's end.
pub struct Member {
    bus: Bus,
    id: usize,
    changed: watch::Receiver<()>,
}

impl Bus {
    pub fn new(count: u16) -> Self {
        let state = State {
            partitions: (0..count).map(|_| Log::default()).collect(),
            replicas: BTreeMap::new(),
            next_replica: 0,
            begun: Vec::new(),
        };
        Bus {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(()),
        }
    }

    /// A new replica's end and its number; it holds nothing.
    pub fn join(&self) -> (usize, Box<Member>) {
        let id = self.with(|state| {
            state.next_replica += 1;
            state.replicas.insert(state.next_replica, Inbox::default());
            state.next_replica
        });
        let (bus, changed) = (self.clone(), self.changed.subscribe());
        (id, Box::new(Member { bus, id, changed }))
    }

    /// Gives a partition to a replica; who held it is told first.
    pub fn give(&self, partition: Partition, replica: usize) {
        self.with(|state| {
            let log = &mut state.partitions[usize::from(partition.index)];
            let before = log.holder.replace(replica);
            if let Some(inbox) = before.and_then(|before| state.replicas.get_mut(&before)) {
                inbox.cursors.remove(&partition.index);
                inbox.news.push_back(Arrival::Lost(partition));
            }
            if let Some(inbox) = state.replicas.get_mut(&replica) {
                inbox.news.push_back(Arrival::Gained(partition));
            }
        });
    }

    pub fn publish(&self, record: Record) {
        self.publish_at(System.now(), record);
    }

    /// Publishes a record as if it were then.
    pub fn publish_at(&self, at: Timestamp, record: Record) {
        self.with(|state| {
            let (Record::Vitals(immune_domain::vitals::Vitals { key, .. }) | Record::Retracted(key, _)) =
                &record;
            let index = Partition::of(key, state.partitions.len() as u16).index;
            let batch: Batch = Arc::from([record]);
            state.partitions[usize::from(index)].entries.push((at, batch));
        });
    }

    /// The partition of an agent.
    pub fn partition(&self, key: &AgentKey) -> Partition {
        Partition::of(key, self.with(|state| state.partitions.len() as u16))
    }

    /// How many entries of a partition are acknowledged.
    pub fn acked(&self, partition: Partition) -> usize {
        self.with(|state| state.partitions[usize::from(partition.index)].acked)
    }

    /// Takes acknowledgements back, as if they had never arrived.
    pub fn forget_acks(&self, partition: Partition, acked: usize) {
        self.with(|state| state.partitions[usize::from(partition.index)].acked = acked);
    }

    /// Where deliveries of a partition were asked to begin, each time.
    pub fn begun(&self, partition: Partition) -> Vec<Begin> {
        self.with(|state| {
            let begun = state.begun.iter().filter(|(index, _)| *index == partition.index);
            begun.map(|(_, begin)| begin.clone()).collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = act(&mut self.state.lock().unwrap());
        self.changed.send_replace(());
        done
    }
}

impl Member {
    fn try_next(&self) -> Option<Arrival> {
        let mut state = self.bus.state.lock().unwrap();
        let State {
            partitions, replicas, ..
        } = &mut *state;
        let inbox = replicas.get_mut(&self.id)?;
        if let Some(news) = inbox.news.pop_front() {
            return Some(news);
        }
        let has_more =
            |(index, at): &(&u16, &mut usize)| partitions[usize::from(**index)].entries.len() > **at;
        let (index, next) = inbox.cursors.iter_mut().find(has_more)?;
        let (index, at) = (*index, *next);
        *next += 1;
        let bus = self.bus.clone();
        let ack = Box::new(move || {
            bus.with(|state| {
                let acked = &mut state.partitions[usize::from(index)].acked;
                *acked = (*acked).max(at + 1);
            });
        });
        let partition = Partition {
            index,
            count: partitions.len() as u16,
        };
        let batch = partitions[usize::from(index)].entries[at].1.clone();
        Some(Arrival::Batch(Delivery::new(
            batch,
            partition,
            Some(at.to_string()),
            ack,
        )))
    }
}

#[tonic::async_trait]
impl Consumer for Member {
    async fn next(&mut self) -> Option<Arrival> {
        loop {
            self.changed.borrow_and_update();
            if let Some(arrival) = self.try_next() {
                return Some(arrival);
            }
            self.changed.changed().await.ok()?;
        }
    }

    async fn begin(&mut self, partition: Partition, begin: Begin) {
        let Begin::Again { since } = begin else {
            panic!("the sentinel keeps no places: {begin:?}")
        };
        let id = self.id;
        self.bus.with(|state| {
            state.begun.push((partition.index, begin));
            let log = &state.partitions[usize::from(partition.index)];
            if log.holder != Some(id) {
                return;
            }
            let recent = log.entries.iter().position(|(at, _)| *at >= since);
            let first = recent.unwrap_or(log.entries.len()).min(log.acked);
            let inbox = state.replicas.get_mut(&id).unwrap();
            inbox.cursors.insert(partition.index, first);
        });
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.bus.with(|state| {
            state.replicas.remove(&self.id);
        });
    }
}
