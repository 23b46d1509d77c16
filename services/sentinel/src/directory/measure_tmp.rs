use super::*;
fn rss() -> u64 {
    std::fs::read_to_string("/proc/self/statm")
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 4096
}
#[test]
fn measure() {
    use immune_domain::baseline::{Moments, State};
    let standing = Arc::new(Standing::new());
    let d = Directory::new(
        immune_domain::policy::Policies::default().compile(),
        1_000_000,
        0.5,
        Metrics::default(),
        standing,
    );
    let before = rss();
    for i in 0..100_000 {
        let key = AgentKey::new("production", format!("shop/checkout/agent-{i:06}"));
        d.set_profile(
            Profile {
                key,
                version: 1,
                state: State::Active,
                sample_count: 20,
                moments: [Moments::default(); 3],
                updated_at: Timestamp::EPOCH,
            },
            1,
        );
    }
    let mid = rss();
    println!(
        "profiles: {} B each; Agent {} B; Profile {}",
        (mid - before) / 100_000,
        size_of::<Agent>(),
        size_of::<Profile>()
    );
    d.gain(immune_bus::Partition::WHOLE);
    for i in 0..100_000 {
        let mut v = crate::agent::tests::ran("e", 10.0, 1000.0);
        v.key = AgentKey::new("production", format!("shop/checkout/agent-{i:06}"));
        d.take(&v, true, v.received_at);
    }
    println!("agents: {} B each", (rss() - mid) / 100_000);
    let t = std::time::Instant::now();
    let p = immune_bus::Partition { index: 3, count: 64 };
    println!("profiled: {} in {:?}", d.profiled(p).len(), t.elapsed());
    let t = std::time::Instant::now();
    d.lose(p);
    println!("lose {:?}", t.elapsed());
    let t = std::time::Instant::now();
    d.end_profiles(1, &[p]);
    println!("end_profiles {:?}", t.elapsed());
}
