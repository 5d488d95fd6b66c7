//! Saying that the agent is alive, for as long as it is.

use std::time::Duration;

use tokio::sync::mpsc;

use super::agent::ask;
use crate::local_api::call::{Call, Request};

/// Calls `alive` every `interval`, each time only after the loop has taken a call and the store thread has answered
/// it: a process whose loop turns while its state is stuck is not alive. Ends when the loop does.
pub(super) async fn feed(interval: Duration, calls: &mpsc::Sender<Request>, alive: impl Fn()) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A refusal is an answer too. `Status` reads nothing from the disk.
        let _answer = ask(calls, Call::Status).await;
        if calls.is_closed() {
            return;
        }
        alive();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::Value;

    use super::*;

    #[test]
    fn nothing_is_said_until_the_call_is_answered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (calls, mut queue) = mpsc::channel::<Request>(1);
            let said = Cell::new(0);
            let work = async {
                for round in 0..3 {
                    let request = queue.recv().await.unwrap();
                    // Long enough for a feeder that does not wait for the answer.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(said.get(), round);
                    request.reply.send(Ok(Value::Null)).unwrap();
                }
                let _unanswered = queue.recv().await.unwrap();
                assert_eq!(said.get(), 3);
            };
            tokio::select! {
                () = feed(Duration::from_millis(1), &calls, || said.set(said.get() + 1)) => unreachable!(),
                () = work => {}
            }
        });
    }
}
