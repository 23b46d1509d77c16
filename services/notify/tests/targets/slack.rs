//! Messages in Slack.

use crate::receiver::Receiver;
use crate::slack_server::{SlackServer, check_blocks};
use crate::world::{approve, change, config, open_case, start, target, until};
use immune_domain::case::Command;
use immune_notify::Config;
use immune_store::memory;
use serde_json::{Value, json};

fn slack(server: &SlackServer) -> Config {
    config(json!([{ "name": "ops", "slack": {
        "token": "xoxb-hunter2", "channel": "C123", "signing_secret": "shh", "api_url": server.receiver.url("/api"),
        "response_origin": server.receiver.url("") } }]))
}

fn buttons(blocks: &Value) -> Vec<String> {
    let actions = blocks
        .as_array()
        .unwrap()
        .iter()
        .find(|block| block["type"] == "actions");
    let elements = actions
        .and_then(|block| block["elements"].as_array().cloned())
        .unwrap_or_default();
    elements
        .iter()
        .map(|element| element["action_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Scenario: a severe case of an agent whose name would call everyone is opened, escalates, and is approved.
/// Guarantees: one message that says what moved, why, and what would be done, with buttons that ask first; one reply
/// when it escalates; after the decision the same message says who decided and has no buttons. The name calls nobody.
#[tokio::test]
async fn one_message_per_case() {
    let (stores, server) = (memory::stores(), SlackServer::start().await);
    let _running = start(&stores, &slack(&server)).await;
    let case = open_case(&stores, "<!channel> *b*", 8.0).await;
    until("opened and waiting are told", async || {
        target(&stores, "ops").await.delivered == 2
    })
    .await;
    let messages = server.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let text = messages[0].blocks.to_string();
    assert!(
        !text.contains("<!channel>\"") && text.contains("&lt;!channel&gt;"),
        "{text}"
    );
    assert!(!messages[0].text.contains("<!"), "{}", messages[0].text);
    for part in [
        "5.1 standard deviations",
        "tokens are 5.1",
        "What would be done",
        "waits for a person (severe)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        buttons(&messages[0].blocks),
        ["immune_approve", "immune_reject", "immune_open"]
    );
    assert!(text.contains("Are you sure?") && text.contains("https://immune.example.com/cases/case%2D"));

    // Time passes until the wait escalates: a decision on the same case, with the clock of the domain moved.
    let later = stores.cases.get(&case.id).await.unwrap().unwrap();
    let (later, effects) = immune_domain::case::decide(
        later,
        Command::Tick,
        &Default::default(),
        crate::world::now().plus(std::time::Duration::from_secs(3_600)),
    )
    .unwrap();
    save(&stores, &later, effects).await;
    until("the escalation is told", async || {
        target(&stores, "ops").await.delivered == 3
    })
    .await;
    let messages = server.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].thread.as_deref(), Some(messages[0].ts.as_str()));
    assert!(
        messages[1].text.contains("still waiting for a person"),
        "{}",
        messages[1].text
    );

    change(&stores, &case.id, approve()).await;
    until("the decision is told", async || {
        target(&stores, "ops").await.delivered == 4
    })
    .await;
    let messages = server.messages();
    assert_eq!(messages.len(), 2);
    let text = messages[0].blocks.to_string();
    assert!(text.contains("approved by ada@example.com"), "{text}");
    assert_eq!(buttons(&messages[0].blocks), ["immune_open"]);
}

async fn save(
    stores: &immune_store::Stores,
    case: &immune_domain::case::Case,
    effects: Vec<immune_domain::case::Effect>,
) {
    let events = effects
        .into_iter()
        .filter_map(|effect| match effect {
            immune_domain::case::Effect::Announce(said) => Some(immune_store::cases::NewEvent {
                kind: said.kind.as_str().to_owned(),
                case: case.id.clone(),
                key: case.key.clone(),
                at: crate::world::now(),
                text: said.text,
                payload: said.payload,
            }),
            immune_domain::case::Effect::Log(_) | immune_domain::case::Effect::AskLever { .. } => None,
        })
        .collect();
    let alongside = immune_store::cases::Alongside {
        log: Vec::new(),
        events,
    };
    stores
        .cases
        .save_case(case, case.version - 1, &alongside)
        .await
        .unwrap();
}

/// Scenario: the answer to a post is lost, so that nobody knows whether there is a message.
/// Guarantees: it is looked for, found and used: one message, not two.
#[tokio::test]
async fn a_lost_answer_makes_no_second_message() {
    let (stores, server) = (memory::stores(), SlackServer::start().await);
    *server.loses_answers.lock().unwrap() = 1;
    let _running = start(&stores, &slack(&server)).await;
    open_case(&stores, "a", 8.0).await;
    until("told", async || target(&stores, "ops").await.delivered == 2).await;
    let messages = server.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        target(&stores, "ops")
            .await
            .last_error
            .unwrap()
            .1
            .contains("no answer in time")
    );
}

/// Scenario: the token is wrong, then a message is removed by hand.
/// Guarantees: the reason is told without the token and nothing is lost; a removed message comes back only when a
/// person is needed.
#[tokio::test]
async fn refusals_say_why() {
    let (stores, server) = (memory::stores(), SlackServer::start().await);
    let mut wrong = slack(&server);
    wrong.targets[0].slack.as_mut().unwrap().channel = "C999".to_owned();
    let running = start(&stores, &wrong).await;
    let case = open_case(&stores, "a", 8.0).await;
    until("the reason is told", async || {
        target(&stores, "ops")
            .await
            .last_error
            .is_some_and(|(_, text)| text == "slack says channel_not_found")
    })
    .await;
    running.end().await;
    let _running = start(&stores, &slack(&server)).await;
    until("told", async || target(&stores, "ops").await.delivered == 2).await;
    server.messages.lock().unwrap().clear();
    change(&stores, &case.id, approve()).await;
    until("told", async || target(&stores, "ops").await.delivered == 3).await;
    assert_eq!(server.messages().len(), 0);
}

/// Scenario: an incoming webhook instead of a bot; a very long agent name.
/// Guarantees: a message per piece of news, within the limits of Block Kit.
#[tokio::test]
async fn incoming_webhooks_get_messages() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config =
        config(json!([{ "name": "ops", "slack": { "webhook_url": receiver.url("/services/T/B/x") } }]));
    let _running = start(&stores, &config).await;
    open_case(&stores, &"x<&>".repeat(120), 8.0).await;
    until("told", async || target(&stores, "ops").await.delivered == 2).await;
    assert_eq!(receiver.got().len(), 2);
    for got in receiver.got() {
        let body = got.json();
        check_blocks(&body["blocks"]).unwrap();
        assert!(body["text"].as_str().unwrap().len() < 600);
        assert_eq!(
            buttons(&body["blocks"]),
            ["immune_open"],
            "no buttons without a signing secret"
        );
    }
}

/// Scenario: more cases at once than a channel takes.
/// Guarantees: the rest is one message that counts them; a case that was folded gets no message of its own until a
/// person is needed for it.
#[tokio::test]
async fn a_burst_is_folded() {
    let (stores, server) = (memory::stores(), SlackServer::start().await);
    let mut config = slack(&server);
    config.targets[0].rate.per_minute = 3;
    start(&stores, &config).await.end().await;
    for n in 0..19 {
        open_case(&stores, &format!("a{n}"), 8.0).await;
    }
    let _running = start(&stores, &config).await;
    until("told", async || target(&stores, "ops").await.delivered == 38).await;
    let messages = server.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    let digest = messages
        .iter()
        .find(|message| message.text == "17 more cases")
        .unwrap();
    check_blocks(&digest.blocks).unwrap();
    assert!(digest.blocks.to_string().contains("and 7 more"));
}
