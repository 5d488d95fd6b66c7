//! The whole transport over a broker in memory, on a clock that tests turn.

mod broker;
mod hostile;
mod stage;

use std::time::Duration;

use casemate_protocol::broker::{Announce, CHUNK_LENGTH, Chunked, Scope, Topic};
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use tokio::time::{Instant, sleep, timeout};

use broker::{Broker, Manner};
use stage::{Kept, Stage};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn scope() -> Scope {
    Scope::Group("clinics".parse().unwrap())
}

fn content(count: u8) -> Vec<u8> {
    (0..count).flat_map(|index| vec![index; CHUNK_LENGTH as usize]).chain([7]).collect()
}

/// Leaves a bundle with the broker for the group: its chunks, then its announcement.
fn leave(broker: &Broker, bundle: &[u8], timestamp: u64) -> Chunked {
    leave_for(broker, &scope(), bundle, timestamp)
}

fn leave_for(broker: &Broker, scope: &Scope, bundle: &[u8], timestamp: u64) -> Chunked {
    let chunks: Vec<_> = bundle.chunks(CHUNK_LENGTH as usize).collect();
    let digests = chunks.iter().map(|chunk| Digest::of(chunk)).collect();
    let version = Version::new(timestamp).unwrap();
    let announced = Chunked::of(Digest::of(bundle), bundle.len() as u64, version, digests).unwrap();
    let mut seen = broker.seen();
    for (index, chunk) in chunks.iter().enumerate() {
        seen.retained.insert(Topic::Chunk(scope, announced.bundle, index).to_string(), chunk.to_vec());
    }
    let text = Announce::Chunked(announced.clone()).encode();
    seen.retained.insert(Topic::Announce(scope).to_string(), text);
    announced
}

fn outbox(count: u64) -> Vec<(u64, Vec<u8>)> {
    (1..=count).map(|number| (number, format!("receipt {number}").into_bytes())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bundle_left_while_nobody_was_there_is_fetched_and_imported_once() {
    let broker = Broker::default();
    leave(&broker, &content(20), 2);
    let stage = Stage::new(&broker);
    stage.until(|kept| kept.imported.len() == 1).await;
    assert_eq!(stage.kept().imported, [content(20)]);
    sleep(DAY).await;
    assert_eq!(stage.kept().imported.len(), 1);
    assert!(broker.seen().sent.iter().filter(|(topic, _)| !topic.ends_with("announce")).all(|(_, times)| *times == 1));
    let stage = stage.killed().await;
    sleep(DAY).await;
    assert_eq!(stage.kept().imported.len(), 1, "nor after a start");
    assert!(std::fs::read_dir(stage.folder.path().join("spool")).unwrap().count() <= 1, "nothing stays in the spool");
}

#[tokio::test(start_paused = true)]
async fn a_refused_bundle_is_judged_again_without_hurry_and_not_fetched_again() {
    let broker = Broker::default();
    let bundle = leave(&broker, &content(3), 2).bundle;
    let stage = Stage::with(&broker, Kept { verdict: Some(Code::MetadataExpired), ..Kept::default() });
    stage.until(|kept| kept.imported.len() == 1).await;
    let stage = stage.killed().await;
    sleep(7 * DAY).await;
    let judged = stage.kept().imported.len();
    assert!((7..=24).contains(&judged), "{judged}");
    stage.kept().verdict = None;
    sleep(2 * DAY).await;
    assert_eq!(stage.kept().imported.len(), judged + 1, "the clock was set, and that was that");
    let chunk = Topic::Chunk(&scope(), bundle, 0).to_string();
    assert_eq!(broker.seen().sent[&chunk], 1);
}

#[tokio::test(start_paused = true)]
async fn an_outdated_bundle_is_judged_once() {
    let broker = Broker::default();
    leave(&broker, &content(3), 2);
    let stage = Stage::with(&broker, Kept { verdict: Some(Code::MetadataRollback), ..Kept::default() });
    sleep(DAY).await;
    let stage = stage.killed().await;
    sleep(7 * DAY).await;
    assert_eq!(stage.kept().imported.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bundle_below_the_versions_here_arrives_all_the_same() {
    let broker = Broker::default();
    leave(&broker, &content(2), (1 << 53) - 1);
    let stage = Stage::new(&broker);
    stage.until(|kept| kept.imported.len() == 1).await;
    leave(&broker, &content(3), 13);
    broker.behaves([Manner::Good]);
    let stage = stage.killed().await;
    stage.until(|kept| kept.imported.len() == 2).await;
    assert_eq!(stage.kept().imported[1], content(3));
}

#[tokio::test(start_paused = true)]
async fn garbage_announced_under_a_bundles_name_is_not_judged_and_the_bundle_comes_in_after_it() {
    let broker = Broker::default();
    let garbage = vec![9; content(3).len()];
    let pretended = leave(&broker, &garbage, 2);
    let named = Chunked { bundle: Digest::of(&content(3)), ..pretended.clone() };
    {
        let mut seen = broker.seen();
        for (index, chunk) in garbage.chunks(CHUNK_LENGTH as usize).enumerate() {
            seen.retained.insert(Topic::Chunk(&scope(), named.bundle, index).to_string(), chunk.to_vec());
        }
        seen.retained.insert(Topic::Announce(&scope()).to_string(), Announce::Chunked(named).encode());
    }
    let stage = Stage::new(&broker);
    sleep(DAY).await;
    assert!(stage.kept().imported.is_empty());
    assert!(stage.kept().noticed.contains(&Code::PeerMisbehaved));
    let stage = stage.killed().await;
    leave(&broker, &content(3), 2);
    stage.until(|kept| !kept.imported.is_empty()).await;
    assert_eq!(stage.kept().imported, [content(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_announces_something_else_all_the_time_does_not_delay_another() {
    let broker = Broker::default();
    let own = leave_for(&broker, &Scope::Appliance("clinic-7".parse().unwrap()), &content(130), 2);
    // The broker dies now and then, and each time shows another bundle in the group's tree, newer than any before.
    broker.behaves([8; 40].map(Manner::Dies).into_iter().chain([Manner::Good]));
    let stage = Stage::new(&broker);
    for version in 3..200 {
        let absent = vec![Digest::of(b"absent")];
        let lie = Chunked::of(Digest::of(&[version]), 1, Version::new(u64::from(version)).unwrap(), absent).unwrap();
        let topic = Topic::Announce(&scope()).to_string();
        broker.seen().retained.insert(topic, Announce::Chunked(lie).encode());
        sleep(Duration::from_secs(5)).await;
    }
    stage.until(|kept| !kept.imported.is_empty()).await;
    assert_eq!(stage.kept().imported, [content(130)]);
    assert_eq!(broker.seen().acknowledged, own.chunks.len(), "nothing was thrown away for the other tree's sake");
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_fetched_again_though_the_broker_dies_a_hundred_times_and_the_appliance_five() {
    let broker = Broker::default();
    let chunks = leave(&broker, &content(130), 2).chunks.len();
    broker.behaves([1; 100].map(Manner::Dies).into_iter().chain([Manner::Good]));
    let mut stage = Stage::new(&broker);
    for _ in 0..5 {
        sleep(Duration::from_secs(17)).await;
        stage = stage.killed().await;
    }
    stage.until(|kept| kept.imported.len() == 1).await;
    assert_eq!(stage.kept().imported, [content(130)]);
    let seen = broker.seen();
    assert!(seen.attempts >= 100, "{}", seen.attempts);
    assert_eq!(seen.acknowledged, chunks, "every chunk was acknowledged once");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_chunk_is_told_of_and_fetched_again_until_it_is_right() {
    let broker = Broker::default();
    let bundle = leave(&broker, &content(4), 2).bundle;
    let topic = Topic::Chunk(&scope(), bundle, 2).to_string();
    let right = broker.seen().retained.insert(topic.clone(), b"wrong".to_vec()).unwrap();
    let stage = Stage::new(&broker);
    sleep(DAY).await;
    assert!(stage.kept().imported.is_empty());
    assert!(stage.kept().noticed.contains(&Code::PeerMisbehaved));
    let tries = broker.seen().sent[&topic];
    assert!((4..=4 * 32).contains(&tries), "{tries}");
    broker.seen().retained.insert(topic.clone(), right);
    stage.until(|kept| kept.imported.len() == 1).await;
    assert_eq!(broker.seen().sent[&Topic::Chunk(&scope(), bundle, 0).to_string()], 1);
}

#[tokio::test(start_paused = true)]
async fn chunks_that_expired_are_waited_for() {
    let broker = Broker::default();
    let bundle = leave(&broker, &content(4), 2).bundle;
    let topic = Topic::Chunk(&scope(), bundle, 2).to_string();
    let expired = broker.seen().retained.remove(&topic).unwrap();
    let stage = Stage::new(&broker);
    sleep(3 * DAY).await;
    assert!(stage.kept().imported.is_empty());
    broker.seen().retained.insert(topic, expired);
    stage.until(|kept| kept.imported.len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn after_thirty_days_without_a_broker_everything_is_delivered_in_order() {
    let broker = Broker::default();
    broker.behaves([Manner::Absent]);
    let stage = Stage::with(&broker, Kept { outbox: outbox(100), ..Kept::default() });
    sleep(30 * DAY).await;
    let attempts = broker.seen().attempts;
    // A pause of 300 s is 225 to 375 s by chance; before that come eight shorter ones.
    assert!((7_500..=9_500).contains(&attempts), "{attempts} attempts");
    assert_eq!(stage.kept().outbox.len(), 100, "nothing is lost meanwhile");
    assert!(stage.kept().noticed.iter().all(|code| *code == Code::PeerUnreached));
    broker.behaves([Manner::Good]);
    let came_back = Instant::now();
    stage.until(|kept| kept.delivered.len() == 100).await;
    assert!(came_back.elapsed() <= Duration::from_secs(375));
    assert_eq!(stage.kept().delivered, (1..=100).collect::<Vec<_>>());
    let receipts: Vec<_> =
        broker.seen().published.iter().filter(|(topic, _)| topic.contains("/receipts/")).cloned().collect();
    assert_eq!(receipts.len(), 100, "each once");
    assert_eq!(receipts[99], ("casemate/v1/appliances/clinic-7/receipts/100".into(), b"receipt 100".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_the_broker_does_not_take_stays_and_is_offered_again_without_hurry() {
    for reason in [PubAckReason::NotAuthorized, PubAckReason::QuotaExceeded, PubAckReason::NoMatchingSubscribers] {
        let broker = Broker::default();
        broker.behaves([Manner::Acknowledges(reason)]);
        let stage = Stage::with(&broker, Kept { outbox: outbox(3), ..Kept::default() });
        sleep(DAY).await;
        assert!(stage.kept().delivered.is_empty(), "{reason:?}");
        let offered = broker.seen().published.iter().filter(|(topic, _)| topic.contains("/receipts/")).count();
        assert!((20..=50).contains(&offered), "{reason:?}: {offered}");
    }
}

#[tokio::test(start_paused = true)]
async fn presence_health_and_round_trips_are_told_without_many_wakeups() {
    let broker = Broker::default();
    let stage = Stage::new(&broker);
    stage.until(|kept| kept.round_trips >= 4).await;
    {
        let seen = broker.seen();
        assert_eq!(seen.published[0], ("casemate/v1/appliances/clinic-7/presence".into(), b"online".to_vec()));
        assert!(seen.published.contains(&("casemate/v1/appliances/clinic-7/health".into(), b"health\n".to_vec())));
        assert_eq!((seen.wills.len(), seen.wills[0].retain), (1, true));
        assert_eq!(seen.wills[0].message, "offline");
    }
    let before = stage.kept().round_trips;
    sleep(DAY).await;
    let pings = stage.kept().round_trips - before;
    assert!((380..=390).contains(&pings), "{pings} answers a day");
    assert_eq!(broker.seen().attempts, 1);
    stage.news.send_modify(|news| news.round_trip += 1);
    let before = stage.kept().round_trips;
    timeout(Duration::from_secs(1), stage.until(|kept| kept.round_trips > before)).await.unwrap();
    let reports = stage.kept().health_asked;
    stage.news.send_modify(|news| news.health += 1);
    timeout(Duration::from_secs(11), stage.until(|kept| kept.health_asked > reports)).await.unwrap();
    stage.kept().outbox = outbox(1);
    stage.news.send_modify(|news| news.receipts += 1);
    timeout(Duration::from_secs(1), stage.until(|kept| kept.delivered == [1])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bundle_too_large_for_brokers_wakes_whoever_pulls() {
    let broker = Broker::default();
    let text = Announce::Pull { timestamp: Version::new(2).unwrap() }.encode();
    broker.seen().retained.insert(Topic::Announce(&scope()).to_string(), text);
    let stage = Stage::new(&broker);
    timeout(Duration::from_secs(1), stage.look.notified()).await.unwrap();
}
