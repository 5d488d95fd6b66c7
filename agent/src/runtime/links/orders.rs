//! What transports ask, answered.

use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::exit::Failure;
use crate::intake::{self, Staged};
use crate::local_api::answer::ImportReport;
use crate::local_api::call::{Call, ImportSource, Request};
use crate::outbox::{self, Release};
use crate::runtime::agent::ask;
use crate::runtime::error::RuntimeError;
use crate::runtime::keeper::Keeper;
use crate::runtime::store_thread::Desk;
use crate::store::Taker;
use crate::transport::backend::{Arrived, Held, Order, Source, Standing};

/// Orders under way at once; more wait in the queue.
const AT_ONCE: usize = 16;

/// Serves what comes in until nobody is left who could ask.
pub(super) async fn serve(mut orders: mpsc::Receiver<Order>, desk: Desk, calls: mpsc::Sender<Request>) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv(), if serving.len() < AT_ONCE => match order {
                None => break,
                Some(order) => drop(serving.spawn(answer(order, desk.clone(), calls.clone()))),
            },
            Some(_) = serving.join_next() => {}
        }
    }
    while serving.join_next().await.is_some() {}
}

/// Whoever asked may have left; what was ordered is done all the same.
async fn answer(order: Order, desk: Desk, calls: mpsc::Sender<Request>) {
    match order {
        Order::Import { bundle, transport, reply } => {
            let _asked = reply.send(import(&calls, bundle, transport).await);
        }
        Order::Standing { reply } => {
            let _asked = reply.send(desk.ask(Keeper::standing_of_trust).await.map_err(Failure::from).flatten());
        }
        Order::Held { object, length, reply } => {
            let held = desk.ask(move |keeper| keeper.held(&object, length)).await;
            let _asked = reply.send(held.unwrap_or(Held::Parts(Vec::new())));
        }
        Order::Health { reply } => {
            let health = desk.ask(Keeper::released_health).await;
            let _asked = reply.send(health.map_err(Failure::from).flatten());
        }
        Order::Receipts { after, most, reply } => {
            let receipts = desk.ask(move |keeper| keeper.released_receipts(after, most)).await;
            let _asked = reply.send(receipts.map_err(Failure::from));
        }
        Order::Delivered { sequence, peer } => {
            note(desk.ask(move |keeper| keeper.receipt_taken(&[sequence], Some(&Taker::Peer(peer)))).await);
        }
        Order::RoundTrip { peer, began } => note(desk.ask(move |keeper| keeper.round_trip(&peer, began)).await),
        Order::Noticed { peer, code } => note(desk.ask(move |keeper| keeper.noticed(&peer, code)).await),
    }
}

/// Nobody waits for these: what fails is said in the log.
fn note(outcome: Result<Result<(), Failure>, RuntimeError>) {
    if let Ok(Err(failure)) = outcome {
        tracing::warn!(code = %failure.code, error = %failure.told(), "what a peer said cannot be kept");
    }
}

async fn import(calls: &mpsc::Sender<Request>, bundle: Source, transport: Transport) -> Result<Arrived, Failure> {
    let source = match bundle {
        Source::File(path) => ImportSource::Path(path),
        Source::Stream(stream) => ImportSource::Stream(stream),
    };
    let report = ask(calls, Call::Import { source, transport, wait: false, dry_run: false }).await?;
    let report: ImportReport =
        serde_json::from_value(report).map_err(|source| RuntimeError::Stored { what: "report", source })?;
    let receipt = report.bundles.first().and_then(|bundle| bundle.receipt);
    tracing::info!(code = %report.code, receipt, "a bundle came over the network");
    Ok(Arrived { code: report.code, receipt })
}

impl Keeper {
    /// What a repository's metadata is judged against.
    fn standing_of_trust(&mut self) -> Result<Box<Standing>, Failure> {
        Ok(Box::new(Standing { stored: self.stored()?, device: self.as_device()?, clock: self.clock() }))
    }

    /// What is here of an object: in the store, or staged for a bundle that was never whole.
    fn held(&self, object: &Digest, length: u64) -> Held {
        if self.store.objects().length(object) == Some(length) {
            return Held::Whole;
        }
        // What the folder does not say is fetched.
        match intake::staged(&self.store.staging(), object, length) {
            Ok(Staged::Whole) => Held::Whole,
            Ok(Staged::Parts(parts)) => Held::Parts(parts),
            Err(error) => {
                tracing::debug!(%error, "what is staged cannot be looked at");
                Held::Parts(Vec::new())
            }
        }
    }

    fn released_health(&mut self) -> Result<Vec<u8>, Failure> {
        let identity = self.identity.as_ref().ok_or(RuntimeError::NotEnrolled)?;
        let envelope = identity.seal_health(&self.health())?;
        Ok(outbox::let_out(Release::Health { envelope }))
    }

    fn released_receipts(&self, after: u64, most: usize) -> Vec<(u64, Vec<u8>)> {
        let waiting = self.store.state().outbox.range(after.saturating_add(1)..).filter(|(_, entry)| !entry.taken);
        let legible = waiting.filter_map(|(number, _)| self.legible(*number).map(|envelope| (*number, envelope)));
        let release = |(sequence, envelope)| (sequence, outbox::let_out(Release::Receipt { sequence, envelope }));
        legible.take(most).map(release).collect()
    }
}
