//! A proposal as TOML: what can be allowed as entries, everything else as comments.

use std::fmt::{self, Display, Formatter};

use casemate_protocol::boundary::{Direction, FlowProtocol};

use super::proposal::{Proposal, Seen};
use crate::output::count;

const HEAD: &str = "\
# A proposal, made from what an appliance saw: somebody asked for this, which does not make it right.
# Nothing of it is in force. Keep what you can explain, put it into a file of boundary/, and run `casemate boundary check`.
";

impl Display for Proposal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for seen in &self.flows {
            write!(f, "\n# {}\n", story(seen))?;
            entry(f, seen)?;
        }
        let section = |f: &mut Formatter<'_>, head: &str, lines: Vec<String>| {
            if lines.is_empty() { Ok(()) } else { write!(f, "\n# {head}\n#   {}\n", lines.join("\n#   ")) }
        };
        let told =
            |seen: &[Seen]| seen.iter().map(|seen| format!("{}: {}", seen.flow, story(seen))).collect::<Vec<_>>();
        section(f, "Beyond the envelope; only another root could allow it, so it is left out:", told(&self.outside))?;
        section(f, "Allowed already:", told(&self.known))?;
        let impossible = self.impossible.iter().map(|one| format!("{}: {}", shown(&one.what), shown(&one.why)));
        section(f, "Nothing a boundary could allow:", impossible.collect())
    }
}

fn entry(f: &mut Formatter<'_>, seen: &Seen) -> fmt::Result {
    let flow = &seen.flow;
    let (direction, key) = match flow.direction {
        Direction::In => ("in", "from"),
        Direction::Out => ("out", "to"),
    };
    let protocol = match flow.protocol {
        FlowProtocol::Tcp => "tcp",
        FlowProtocol::Udp => "udp",
        FlowProtocol::Echo => "echo",
    };
    writeln!(f, "[[flow]]\npurpose = \"{}\"\ndirection = \"{direction}\"\nprotocol = \"{protocol}\"", flow.purpose)?;
    writeln!(f, "{key} = \"{}\"", flow.network)?;
    flow.ports.map_or(Ok(()), |ports| writeln!(f, "ports = \"{ports}\""))
}

/// Whose packets, how many and when.
fn story(seen: &Seen) -> String {
    let senders: Vec<_> = seen.senders.iter().map(|sender| shown(sender)).collect();
    let packets = count(usize::try_from(seen.count).unwrap_or(usize::MAX), "packet");
    let around = match seen.addresses {
        1 => String::new(),
        number => format!(" with {number} addresses of this network"),
    };
    let echo = if seen.flow.protocol == FlowProtocol::Echo { "; of ICMP only echo can be allowed" } else { "" };
    let (first, last) = (seen.first_seen, seen.last_seen);
    format!("{}: {packets}{around}, {first} to {last}{echo}", senders.join(", "))
}

/// Words of an appliance on one line: a line end in them would end the comment they stand in.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
