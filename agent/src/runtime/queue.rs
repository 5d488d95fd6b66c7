//! Imports that wait: those of people go first.

use std::collections::VecDeque;

use casemate_protocol::evidence::receipt::Transport;
use tokio::sync::oneshot;

use crate::local_api::call::{Answer, ImportSource};

/// Imports from the network that may wait, and as many of commands.
pub(super) const WAITING_IMPORTS: usize = 8;

/// An import somebody asked for.
pub(super) struct Order {
    pub(super) source: ImportSource,
    pub(super) transport: Transport,
    pub(super) wait: bool,
    pub(super) dry_run: bool,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// Imports that wait. What peers send never delays a person, and never takes a person's place.
#[derive(Default)]
pub(super) struct Queue {
    people: VecDeque<Order>,
    network: VecDeque<Order>,
}

/// Whether somebody stands in front of the appliance and waits.
pub(super) const fn is_of_a_person(transport: Transport) -> bool {
    matches!(transport, Transport::Local | Transport::Stick)
}

impl Order {
    pub(super) const fn is_of_a_person(&self) -> bool {
        is_of_a_person(self.transport)
    }

    /// Whether nobody knows when its bytes will be there, and they can be had again later.
    pub(super) const fn gives_way(&self) -> bool {
        !self.is_of_a_person() && matches!(self.source, ImportSource::Stream(_))
    }
}

impl Queue {
    /// Lets `order` wait, or gives it back if too many wait already. There is one stick, and it always has a place.
    pub(super) fn push(&mut self, order: Order) -> Result<(), Order> {
        let queue = if order.is_of_a_person() { &mut self.people } else { &mut self.network };
        let alike = queue.iter().filter(|other| other.transport != Transport::Stick).count();
        if order.transport != Transport::Stick && alike >= WAITING_IMPORTS {
            return Err(order);
        }
        queue.push_back(order);
        Ok(())
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Order> {
        self.people.pop_front().or_else(|| self.network.pop_front())
    }

    /// A person waits.
    pub(super) fn has_people(&self) -> bool {
        !self.people.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(transport: Transport) -> Order {
        let source = ImportSource::Path("bundle.casemate".into());
        Order { source, transport, wait: false, dry_run: false, reply: oneshot::channel().0 }
    }

    #[test]
    fn people_go_first_and_nothing_from_the_network_takes_their_place() {
        let mut queue = Queue::default();
        for _ in 0..WAITING_IMPORTS {
            assert!(queue.push(order(Transport::Mqtt)).is_ok());
        }
        assert!(queue.push(order(Transport::Push)).is_err() && !queue.has_people());
        for _ in 0..WAITING_IMPORTS {
            assert!(queue.push(order(Transport::Local)).is_ok());
        }
        assert!(queue.push(order(Transport::Local)).is_err(), "commands have their limit too");
        assert!(queue.push(order(Transport::Stick)).is_ok() && queue.has_people());
        let mut turns = std::iter::from_fn(|| queue.pop().map(|order| order.transport));
        assert!(turns.by_ref().take(WAITING_IMPORTS).all(|transport| transport == Transport::Local));
        assert_eq!(turns.next(), Some(Transport::Stick));
        assert!(turns.by_ref().all(|transport| transport == Transport::Mqtt) && !queue.has_people());
    }

    #[test]
    fn only_a_stream_from_the_network_gives_way() {
        let stream =
            || ImportSource::Stream(std::io::pipe().map(|(end, _)| std::os::fd::OwnedFd::from(end).into()).unwrap());
        assert!(Order { source: stream(), ..order(Transport::Pull) }.gives_way());
        assert!(!Order { source: stream(), ..order(Transport::Local) }.gives_way());
        assert!(!order(Transport::Mqtt).gives_way(), "a file is here as a whole: it ends by itself");
    }
}
