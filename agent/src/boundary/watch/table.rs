//! The stopped packets, counted: bounded rows.

use std::collections::HashMap;
use std::net::IpAddr;

use casemate_protocol::tuf::time::UtcTime;

use super::packet::Packet;
use crate::boundary::drops::{DropDirection, DropRow, Drops, FORMAT, MAX_ROWS};

/// What makes two packets of one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    uid: Option<u32>,
    unit: Option<String>,
    direction: DropDirection,
    protocol: String,
    address: IpAddr,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    packets: u64,
    first: UtcTime,
    last: UtcTime,
}

/// Counts of packets by sender and destination.
#[derive(Debug, Default)]
pub(super) struct Table {
    total: u64,
    lost: u64,
    next: Option<u32>,
    rows: HashMap<Key, Count>,
}

impl Table {
    /// Counts `packet` of `unit`. The row counted least goes if there is no room, of several the one longest ago: whoever
    /// knocks at everything cannot hide who knocks at one thing.
    pub(super) fn count(&mut self, packet: &Packet, unit: Option<String>, now: UtcTime) {
        self.number(packet.sequence);
        self.total += 1;
        let key = Key {
            uid: packet.uid,
            unit,
            direction: packet.direction,
            protocol: packet.headers.protocol_name(),
            address: packet.address(),
            port: packet.port(),
        };
        if self.rows.len() >= MAX_ROWS && !self.rows.contains_key(&key) {
            let least =
                self.rows.iter().min_by_key(|(_, count)| (count.packets, count.last)).map(|(key, _)| key.clone());
            least.and_then(|key| self.rows.remove(&key));
        }
        let count = self.rows.entry(key).or_insert(Count { packets: 0, first: now, last: now });
        count.packets += 1;
        count.last = count.last.max(now);
    }

    /// Counts a packet of which nothing can be told.
    pub(super) fn count_unread(&mut self) {
        self.total += 1;
        self.lost += 1;
    }

    /// Messages are numbered without gaps: what is missing was lost between the kernel and here.
    fn number(&mut self, sequence: Option<u32>) {
        let Some(sequence) = sequence else { return };
        let missing = u64::from(sequence.wrapping_sub(self.next.unwrap_or(sequence)));
        // A number that is behind is none of ours: the group was bound anew.
        if missing < u64::from(u32::MAX / 2) {
            self.lost += missing;
            self.total += missing;
        }
        self.next = Some(sequence.wrapping_add(1));
    }

    /// The document, newest last seen first.
    pub(super) fn document(&self) -> Drops {
        let mut rows: Vec<_> = self.rows.iter().map(|(key, count)| row(key, count)).collect();
        rows.sort_by(|a, b| {
            (b.last_seen, b.count, &b.address, b.port).cmp(&(a.last_seen, a.count, &a.address, a.port))
        });
        Drops { format: FORMAT, total: self.total, lost: self.lost, rows }
    }
}

fn row(key: &Key, count: &Count) -> DropRow {
    DropRow {
        uid: key.uid,
        unit: key.unit.clone(),
        direction: key.direction,
        protocol: key.protocol.clone(),
        address: key.address,
        port: key.port,
        count: count.packets,
        first_seen: count.first,
        last_seen: count.last,
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::Headers;
    use super::*;

    fn packet(port: u16, sequence: u32) -> Packet {
        let headers = Headers {
            source: "10.0.0.1".parse().unwrap(),
            destination: "192.0.2.9".parse().unwrap(),
            protocol: 17,
            ports: Some((40000, port)),
        };
        Packet { sequence: Some(sequence), uid: Some(7), direction: DropDirection::Out, headers }
    }

    fn at(seconds: u64) -> UtcTime {
        UtcTime::from_unix(1_700_000_000 + seconds)
    }

    #[test]
    fn packets_of_one_sender_to_one_destination_are_one_row() {
        let mut table = Table::default();
        for (sequence, port) in [53, 53, 123, 53].into_iter().enumerate() {
            let sequence = u32::try_from(sequence).unwrap();
            table.count(&packet(port, sequence), Some("x.service".into()), at(sequence.into()));
        }
        table.count(&packet(53, 4), None, at(4));
        let document = table.document();
        assert_eq!((document.total, document.lost, document.rows.len()), (5, 0, 3));
        let row = document.rows.iter().find(|row| row.port == Some(53) && row.unit.is_some()).unwrap();
        assert_eq!((row.count, row.first_seen, row.last_seen), (3, at(0), at(3)));
        assert_eq!(document.rows[0].unit, None, "newest first");
    }

    #[test]
    fn missing_numbers_are_lost_packets() {
        let mut table = Table::default();
        for sequence in [5, 6, 10, u32::MAX, 1] {
            table.next = table.next.filter(|_| sequence != u32::MAX).or(Some(sequence));
            table.count(&packet(53, sequence), None, at(0));
        }
        let document = table.document();
        assert_eq!((document.lost, document.total), (3 + 1, 5 + 3 + 1));
        table.count(&packet(53, 0), None, at(0));
        assert_eq!(table.document().lost, 4, "the group was bound anew");
    }

    #[test]
    fn rows_are_bounded_and_the_one_counted_least_goes() {
        let mut table = Table::default();
        table.count(&packet(1, 0), None, at(0));
        table.count(&packet(1, 1), None, at(0));
        let many = u32::try_from(MAX_ROWS).unwrap() * 3;
        for number in 2..many {
            let port = u16::try_from(number).unwrap();
            table.count(&packet(port, number), None, at(number.into()));
        }
        let document = table.document();
        assert_eq!((document.rows.len(), document.total), (MAX_ROWS, u64::from(many)));
        assert!(document.rows.iter().any(|row| row.port == Some(1) && row.count == 2));
        assert_eq!(document.rows[0].last_seen, at(u64::from(many) - 1));
    }
}
