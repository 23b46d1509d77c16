//! A bus with partitions that delivers again what was not stored, or what was not acknowledged: the test says who
//! holds what.

use immune_bus::{Arrival, Batch, Begin, Consumer, Delivery, Partition, Record};
use immune_domain::AgentKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The bus; its entries are kept for ever.
#[derive(Clone)]
pub struct Bus {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    count: u16,
    /// Whether deliveries have places; without, they begin after what was acknowledged.
    names_places: bool,
    entries: Vec<Vec<Batch>>,
    holders: Vec<Option<usize>>,
    replicas: BTreeMap<usize, Inbox>,
    next_replica: usize,
    acked: Vec<Option<usize>>,
    delivered: usize,
}

#[derive(Default)]
struct Inbox {
    news: VecDeque<News>,
    /// The next entry of each partition whose deliveries have begun.
    cursors: BTreeMap<u16, usize>,
    /// Turns among partitions.
    turn: u16,
}

enum News {
    Gained(u16),
    Lost(u16),
}

/// One replica's end.
pub struct Member {
    bus: Bus,
    id: usize,
    changed: watch::Receiver<()>,
}

impl Bus {
    pub fn new(count: u16) -> Self {
        let partitions = usize::from(count);
        let state = State {
            count,
            names_places: true,
            entries: vec![Vec::new(); partitions],
            holders: vec![None; partitions],
            acked: vec![None; partitions],
            ..State::default()
        };
        Bus {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(()),
        }
    }

    /// The same without places.
    pub fn without_places(count: u16) -> Self {
        let bus = Bus::new(count);
        bus.with(|state| state.names_places = false);
        bus
    }

    /// A new replica's end and its number; it holds nothing.
    pub fn join(&self) -> (usize, Box<Member>) {
        let id = self.with(|state| {
            let id = state.next_replica;
            state.next_replica += 1;
            state.replicas.insert(id, Inbox::default());
            id
        });
        let (bus, changed) = (self.clone(), self.changed.subscribe());
        (id, Box::new(Member { bus, id, changed }))
    }

    /// Gives a partition to a replica; who held it is told.
    pub fn assign(&self, partition: u16, replica: usize) {
        let before = self.with(|state| state.holders[usize::from(partition)]);
        if before == Some(replica) {
            return;
        }
        if let Some(before) = before {
            self.tell_lost(partition, before);
        }
        self.steal(partition, replica);
    }

    /// Gives a partition to a replica; who held it is not told yet, and still has its deliveries.
    pub fn steal(&self, partition: u16, replica: usize) {
        self.with(|state| {
            state.holders[usize::from(partition)] = Some(replica);
            if let Some(inbox) = state.replicas.get_mut(&replica) {
                inbox.news.push_back(News::Gained(partition));
            }
        });
    }

    /// Tells a replica that it holds a partition no longer.
    pub fn tell_lost(&self, partition: u16, replica: usize) {
        self.with(|state| {
            if let Some(inbox) = state.replicas.get_mut(&replica) {
                inbox.cursors.remove(&partition);
                inbox.news.push_back(News::Lost(partition));
            }
        });
    }

    /// Publishes records, each to the partition of its agent.
    pub fn publish(&self, records: &[Record]) {
        self.with(|state| {
            let mut parts: BTreeMap<u16, Vec<Record>> = BTreeMap::new();
            for record in records {
                let key = match record {
                    Record::Vitals(vitals) => &vitals.key,
                    Record::Retracted(key, _) => key,
                };
                let index = Partition::of(key, state.count).index;
                parts.entry(index).or_default().push(record.clone());
            }
            for (index, records) in parts {
                state.entries[usize::from(index)].push(records.into());
            }
        });
    }

    /// The partition of an agent.
    pub fn partition(&self, key: &AgentKey) -> u16 {
        Partition::of(key, self.with(|state| state.count)).index
    }

    /// Who holds a partition.
    pub fn holder(&self, partition: u16) -> Option<usize> {
        self.with(|state| state.holders[usize::from(partition)])
    }

    /// Entries of a partition.
    pub fn entries(&self, partition: u16) -> usize {
        self.with(|state| state.entries[usize::from(partition)].len())
    }

    /// The last entry of a partition that was acknowledged.
    pub fn acked(&self, partition: u16) -> Option<usize> {
        self.with(|state| state.acked[usize::from(partition)])
    }

    /// Entries delivered, repetitions included.
    pub fn delivered(&self) -> usize {
        self.with(|state| state.delivered)
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
            count,
            entries,
            replicas,
            delivered,
            names_places,
            ..
        } = &mut *state;
        let inbox = replicas.get_mut(&self.id)?;
        let partition = |index| Partition { index, count: *count };
        match inbox.news.pop_front() {
            Some(News::Gained(index)) => return Some(Arrival::Gained(partition(index))),
            Some(News::Lost(index)) => return Some(Arrival::Lost(partition(index))),
            None => {}
        }
        let has_more = |index: &u16, at: &usize| entries[usize::from(*index)].len() > *at;
        let after_turn = inbox
            .cursors
            .range(inbox.turn..)
            .find(|(index, at)| has_more(index, at));
        let found = after_turn.or_else(|| inbox.cursors.iter().find(|(index, at)| has_more(index, at)));
        let (index, at) = found.map(|(index, at)| (*index, *at))?;
        inbox.turn = index + 1;
        inbox.cursors.insert(index, at + 1);
        *delivered += 1;
        let bus = self.bus.clone();
        let ack = Box::new(move || bus.with(|state| state.acked[usize::from(index)] = Some(at)));
        let batch = entries[usize::from(index)][at].clone();
        let place = names_places.then(|| at.to_string());
        Some(Arrival::Batch(Delivery::new(batch, partition(index), place, ack)))
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
        let Begin::After(place) = begin else {
            panic!("the baseline keeps its places: {begin:?}")
        };
        let place = place.map(|place| place.parse::<usize>().unwrap());
        self.bus.with(|state| {
            let acked = state.acked[usize::from(partition.index)];
            let last = if state.names_places { place } else { acked };
            let at = last.map_or(0, |last| last + 1);
            let inbox = state.replicas.get_mut(&self.id).unwrap();
            let is_lost = inbox
                .news
                .iter()
                .any(|news| matches!(news, News::Lost(lost) if *lost == partition.index));
            if !is_lost {
                inbox.cursors.insert(partition.index, at);
            }
        });
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.bus.with(|state| {
            state.replicas.remove(&self.id);
            for holder in &mut state.holders {
                if *holder == Some(self.id) {
                    *holder = None;
                }
            }
        });
    }
}
