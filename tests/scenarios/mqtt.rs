//! MQTT through a real Mosquitto, configured as docs/mqtt.md says, with mosquitto_pub and mosquitto_sub as the others.

mod mosquitto;
mod stage;

use std::time::Duration;

use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;

use mosquitto::{Mosquitto, on_stage};
use stage::{Stage, content};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_bundle_left_with_mosquitto_by_somebody_who_went_is_fetched_later() {
    on_stage(async || {
        let mosquitto = Mosquitto::start();
        mosquitto.leave("groups/clinics", &content(9), 2);
        let stage = Stage::new(&mosquitto);
        stage.until(|kept| kept.imported.len() == 1).await;
        assert_eq!(stage.kept().imported, [Digest::of(&content(9))]);
        assert!(stage.kept().round_trips > 0);
    });
}

/// What was fetched more than once, and could have been kept: a chunk is lost only while it is under way.
fn fetched_again(mosquitto: &Mosquitto) -> usize {
    mosquitto.chunks_sent().values().map(|times| times - 1).sum()
}

#[test]
fn mosquitto_killed_in_the_middle_costs_no_more_than_what_was_under_way() {
    on_stage(async || {
        const KILLS: usize = 5;
        let mut mosquitto = Mosquitto::start();
        mosquitto.leave("groups/clinics", &content(120), 2);
        mosquitto.save();
        let mut stage = Stage::new(&mosquitto);
        for kill in 0..KILLS {
            mosquitto.wait_for("Sending PUBLISH to lux-001").await;
            mosquitto.kill();
            assert!(stage.kept().imported.is_empty(), "{kill}: not in the middle");
            if kill % 2 == 1 {
                stage = stage.killed().await;
            }
            mosquitto.restart();
        }
        stage.until(|kept| kept.imported.len() == 1).await;
        assert_eq!(stage.kept().imported, [Digest::of(&content(120))]);
        // Eight chunks at most are under way at a time.
        let again = fetched_again(&mosquitto);
        assert!(again <= KILLS * 8, "{again} chunks sent again in {KILLS} deaths");
    });
}

#[test]
fn receipts_arrive_once_each_and_only_when_somebody_takes_them() {
    on_stage(async || {
        let mosquitto = Mosquitto::start();
        let stage = Stage::new(&mosquitto);
        stage.kept().outbox = (1..=3).map(|number| (number, format!("receipt {number}\n").into_bytes())).collect();
        stage.news.send_modify(|news| news.receipts += 1);
        mosquitto.wait_for("/receipts/1'").await;
        assert!(stage.kept().delivered.is_empty(), "nobody was there to take it");
        let collector = mosquitto.subscribe("control-plane", "casemate/v1/appliances/+/receipts/+", 3);
        mosquitto.wait_for("Sending SUBACK to control-plane").await;
        // A connection anew offers them at once.
        let stage = stage.killed().await;
        stage.until(|kept| kept.delivered.len() == 3).await;
        assert_eq!(stage.kept().delivered, [1, 2, 3]);
        let lines = collector.lines().await;
        let expected = |number| format!("casemate/v1/appliances/lux-001/receipts/{number} receipt {number}");
        assert_eq!(lines, [expected(1), expected(2), expected(3)]);
    });
}

#[test]
fn the_broker_tells_when_an_appliance_is_gone() {
    on_stage(async || {
        let mosquitto = Mosquitto::start();
        let watcher = mosquitto.subscribe("control-plane", "casemate/v1/appliances/+/presence", 2);
        mosquitto.wait_for("Sending SUBACK to control-plane").await;
        let stage = Stage::new(&mosquitto);
        mosquitto.wait_for("Sending PUBLISH to control-plane").await;
        stage.ended().await;
        let topic = "casemate/v1/appliances/lux-001/presence";
        assert_eq!(watcher.lines().await, [format!("{topic} online"), format!("{topic} offline")]);
    });
}

#[test]
fn health_is_told_where_the_question_says_and_nowhere_else() {
    on_stage(async || {
        let mosquitto = Mosquitto::start();
        let answers = mosquitto.subscribe("control-plane", "casemate/v1/appliances/lux-001/responses/#", 1);
        mosquitto.wait_for("Sending SUBACK to control-plane").await;
        let stage = Stage::new(&mosquitto);
        stage.until(|kept| kept.round_trips >= 4).await;
        for elsewhere in ["casemate/v1/appliances/lux-002/responses/a", "casemate/v1/appliances/lux-001/presence"] {
            mosquitto.ask("lux-001", elsewhere, "x");
        }
        stage.until(|kept| kept.noticed.iter().filter(|code| **code == Code::PeerMisbehaved).count() == 2).await;
        mosquitto.ask("lux-001", "casemate/v1/appliances/lux-001/responses/q1", "forty-two");
        assert_eq!(answers.lines().await, ["casemate/v1/appliances/lux-001/responses/q1 forty-two health"]);
        assert!(!mosquitto.log().contains("'casemate/v1/appliances/lux-002/responses/a', ... (7 bytes)"));
    });
}

#[test]
fn another_appliances_certificate_reads_nothing() {
    on_stage(async || {
        let mosquitto = Mosquitto::start();
        mosquitto.leave("groups/clinics", &content(1), 2);
        mosquitto.leave("appliances/lux-001", &content(1), 2);
        let stranger = mosquitto.subscribe("lux-002", "casemate/v1/#", 1);
        mosquitto.wait_for("Sending SUBACK to lux-002").await;
        let owner = mosquitto.subscribe("publisher-1", "casemate/v1/appliances/+/bundles/+/+", 1);
        assert_eq!(owner.lines().await.len(), 1, "control: there is something to read");
        let stage = Stage::new(&mosquitto);
        stage.until(|kept| kept.imported.len() == 1).await;
        assert!(stranger.nothing().await);
    });
}

#[test]
fn a_broker_with_another_key_is_not_talked_to() {
    on_stage(async || {
        let mosquitto = Mosquitto::start();
        mosquitto.leave("groups/clinics", &content(1), 2);
        let stage = Stage::pinned(&mosquitto, Digest::of(b"another key"));
        stage.until(|kept| !kept.noticed.is_empty()).await;
        assert_eq!(stage.kept().noticed, [Code::PeerUntrusted]);
        tokio::time::timeout(4 * SECOND, stage.until(|kept| !kept.imported.is_empty())).await.unwrap_err();
        assert!(!mosquitto.log().contains("as lux-001"));
    });
}
