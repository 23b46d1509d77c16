//! Slack's Web API as far as it is used, which refuses what Slack would refuse.

use crate::receiver::{Got, Receiver, Reply, reply};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A message that was posted.
#[derive(Debug, Clone)]
pub struct Message {
    pub ts: String,
    pub thread: Option<String>,
    pub blocks: Value,
    pub text: String,
    pub metadata: Value,
    pub versions: usize,
}

/// The server.
pub struct SlackServer {
    pub receiver: Receiver,
    pub messages: Arc<Mutex<Vec<Message>>>,
    /// The next post is made, but its answer comes too late.
    pub loses_answers: Arc<Mutex<usize>>,
}

impl SlackServer {
    pub async fn start() -> Self {
        let receiver = Receiver::start().await;
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let loses_answers: Arc<Mutex<usize>> = Arc::default();
        let (kept, loses) = (messages.clone(), loses_answers.clone());
        receiver.answers(move |got| {
            let mut kept = kept.lock().unwrap();
            let mut answer = answer(got, &mut kept);
            let mut loses = loses.lock().unwrap();
            if got.uri.path() == "/api/chat.postMessage" && *loses > 0 {
                *loses -= 1;
                answer = answer.map(|answer| answer.after(std::time::Duration::from_secs(5)));
            }
            answer
        });
        SlackServer {
            receiver,
            messages,
            loses_answers,
        }
    }

    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

fn ok(mut body: Value) -> Option<Reply> {
    body["ok"] = json!(true);
    Some(reply(200).saying(body.to_string()))
}

fn error(word: &str) -> Option<Reply> {
    Some(reply(200).saying(json!({ "ok": false, "error": word }).to_string()))
}

fn answer(got: &Got, messages: &mut Vec<Message>) -> Option<Reply> {
    if !got.uri.path().starts_with("/api/") {
        return None;
    }
    if got.header("authorization") != "Bearer xoxb-hunter2" {
        return error("invalid_auth");
    }
    let body = got.json();
    if let Err(why) = check_blocks(&body["blocks"]) {
        return Some(
            reply(200).saying(json!({ "ok": false, "error": "invalid_blocks", "why": why }).to_string()),
        );
    }
    match got.uri.path() {
        "/api/chat.postMessage" => {
            if body["channel"] != "C123" {
                return error("channel_not_found");
            }
            let ts = format!("1767225600.{:06}", messages.len() + 1);
            messages.push(Message {
                ts: ts.clone(),
                thread: body["thread_ts"].as_str().map(str::to_owned),
                blocks: body["blocks"].clone(),
                text: body["text"].as_str().unwrap_or_default().to_owned(),
                metadata: body["metadata"].clone(),
                versions: 1,
            });
            ok(json!({ "channel": "C123", "ts": ts }))
        }
        "/api/chat.update" => match messages
            .iter_mut()
            .find(|message| body["ts"] == json!(message.ts))
        {
            Some(message) => {
                message.blocks = body["blocks"].clone();
                message.text = body["text"].as_str().unwrap_or_default().to_owned();
                message.versions += 1;
                ok(json!({ "channel": "C123", "ts": message.ts }))
            }
            None => error("message_not_found"),
        },
        "/api/conversations.history" => {
            let query = got.query();
            assert!(query.contains(&("include_all_metadata".to_owned(), "true".to_owned())));
            let top: Vec<Value> = messages
                .iter()
                .filter(|message| message.thread.is_none())
                .map(|message| json!({ "ts": message.ts, "metadata": message.metadata }))
                .collect();
            ok(json!({ "messages": top }))
        }
        "/api/conversations.replies" => {
            let query = got.query();
            let thread = query
                .iter()
                .find(|(name, _)| name == "ts")
                .map(|(_, ts)| ts.clone());
            let all: Vec<Value> = messages
                .iter()
                .filter(|message| message.thread == thread)
                .map(|message| json!({ "ts": message.ts, "metadata": message.metadata }))
                .collect();
            ok(json!({ "messages": all }))
        }
        _ => error("unknown_method"),
    }
}

/// The limits of Block Kit: <https://docs.slack.dev/reference/block-kit/blocks>.
pub fn check_blocks(blocks: &Value) -> Result<(), String> {
    let Some(blocks) = blocks.as_array() else {
        return Ok(());
    };
    let chars = |text: &Value| text.as_str().map_or(usize::MAX, |text| text.chars().count());
    if blocks.len() > 50 {
        return Err("more than 50 blocks".to_owned());
    }
    for block in blocks {
        let is_good = match block["type"].as_str() {
            Some("header") => {
                block["text"]["type"] == "plain_text" && (1..=150).contains(&chars(&block["text"]["text"]))
            }
            Some("section") => {
                block["text"]["type"] == "mrkdwn" && (1..=3_000).contains(&chars(&block["text"]["text"]))
            }
            Some("context") => block["elements"]
                .as_array()
                .is_some_and(|elements| (1..=10).contains(&elements.len())),
            Some("actions") => block["elements"].as_array().unwrap().iter().all(|button| {
                let confirm = &button["confirm"];
                button["type"] == "button"
                    && (1..=75).contains(&chars(&button["text"]["text"]))
                    && (button["value"].is_null() || chars(&button["value"]) <= 2_000)
                    && (confirm.is_null()
                        || (chars(&confirm["title"]["text"]) <= 100
                            && chars(&confirm["text"]["text"]) <= 300
                            && chars(&confirm["confirm"]["text"]) <= 30
                            && chars(&confirm["deny"]["text"]) <= 30))
            }),
            _ => false,
        };
        if !is_good {
            return Err(block.to_string());
        }
    }
    Ok(())
}
