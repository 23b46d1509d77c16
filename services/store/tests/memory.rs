//! The conformance suite on the in-memory stores.

use immune_store::{Stores, memory};

async fn fresh() -> (Stores, ()) {
    (memory::stores(), ())
}

immune_store::conformance!(vitals, fresh);
immune_store::conformance!(baselines, fresh);
immune_store::conformance!(cases, fresh);
immune_store::conformance!(healings, fresh);
immune_store::conformance!(client_records, fresh);
immune_store::conformance!(action_log, fresh);
immune_store::conformance!(notifications, fresh);
immune_store::conformance!(access, fresh);

mod limits {
    use immune_store::cases::{Alongside, CaseFilter, Saved};
    use immune_store::client_records::RecordKind;
    use immune_store::conformance::samples::{
        agent, alongside, approval, at, case, failed, healing, released, row, vitals, with_outcome,
    };
    use immune_store::memory::{Limits, stores_with};

    /// Scenario: more of everything than may be kept.
    /// Guarantees: the oldest goes, the newest stays, counts say what is kept; open cases, running attempts, immune
    /// memory and totals are never given up.
    #[tokio::test]
    async fn the_oldest_makes_room() {
        let three = Limits {
            vitals_per_agent: 3,
            vitals: 5,
            events: 3,
            log_rows: 3,
            closed_cases: 3,
            ended_healings: 3,
            client_records: 3,
        };
        let (stores, run) = (stores_with(three), agent("a").run);
        for n in 0..10 {
            let id = format!("{n}");
            stores
                .vitals
                .append(&[vitals(&agent("a"), &id, at(n))])
                .await
                .unwrap();
            stores
                .action_log
                .append(&[row(&agent("a"), &id, at(n))])
                .await
                .unwrap();
            stores
                .client_records
                .append(&approval(&agent(&id), "pending", at(n)))
                .await
                .unwrap();
            let opened = case(&agent(&id), &id, at(n));
            stores
                .cases
                .open_case(&opened, u32::MAX, &alongside(&opened, &id))
                .await
                .unwrap();
            if n > 1 {
                let saved = stores
                    .cases
                    .save_case(&released(&opened, at(n)), 1, &Alongside::default())
                    .await;
                assert_eq!(saved.unwrap(), Saved::Done);
            }
            let one = healing(&agent("a"), &id, at(n));
            stores.healings.begin(&one).await.unwrap();
            if n > 1 {
                stores
                    .healings
                    .finish(&with_outcome(&one, failed(at(n))))
                    .await
                    .unwrap();
            }
        }
        assert_eq!(stores.vitals.execution_count(&agent("a")).await.unwrap(), 3);
        for n in 0..10 {
            stores
                .vitals
                .append(&[vitals(&agent(&format!("b{n}")), "e", at(n))])
                .await
                .unwrap();
        }
        assert_eq!(stores.vitals.total_executions(&run).await.unwrap(), 5);
        assert_eq!(
            stores.vitals.agents(&run, None, 100).await.unwrap()[0].key,
            agent("b5")
        );

        let rows = stores.action_log.recent(&run, None, 100).await.unwrap();
        assert_eq!(rows.len(), 3);
        let events = stores.cases.events_after(0, 100).await.unwrap();
        assert_eq!(
            events.iter().map(|event| event.sequence).collect::<Vec<_>>(),
            [8, 9, 10]
        );
        let cases = stores.cases.list(&CaseFilter::default()).await.unwrap();
        assert_eq!(
            cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(),
            ["9", "8", "7", "1", "0"]
        );
        assert_eq!(stores.cases.totals(&run).await.unwrap().opened, 10);
        assert_eq!(stores.healings.list(&Default::default()).await.unwrap().len(), 5);
        assert_eq!(stores.healings.totals(&run).await.unwrap().failed, 8);
        assert_eq!(
            stores
                .client_records
                .count_agents(&run, RecordKind::Approval)
                .await
                .unwrap(),
            3
        );
    }
}
