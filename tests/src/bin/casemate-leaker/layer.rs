//! The layers a leaker puts on itself: the very code the agent puts on, one at a time or all.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use casemate_agent::boundary::connect;
use casemate_agent::boundary::enforce::ruleset::{Device, Host, Ruleset};
use casemate_agent::boundary::process::{self, Confinement, Ports};
use casemate_protocol::boundary::Policy;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;

use crate::leak::PEER;

/// One layer of the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Connections are made by the agent's door, as the bans of the house hold the agent's code to.
    Door,
    /// The environment holds nothing but the service manager's names.
    Environment,
    /// No capabilities, and no way to new ones.
    Privileges,
    /// Files, programs and TCP ports.
    Landlock,
    /// System calls.
    Seccomp,
}

impl FromStr for Layer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "door" => Self::Door,
            "environment" => Self::Environment,
            "privileges" => Self::Privileges,
            "landlock" => Self::Landlock,
            "seccomp" => Self::Seccomp,
            other => return Err(format!("no layer is called {other}")),
        })
    }
}

/// The agent's door, for a policy that names one peer.
pub(crate) struct Door(connect::Door);

impl Door {
    /// Asks the door for a connection to `address`, in each way it can be asked: as a peer of that name, and as a place
    /// on this machine.
    pub(crate) fn reach(&self, address: SocketAddr) -> io::Result<()> {
        let name: Name = address.ip().to_string().replace([':', '.'], "-").parse().map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match self.0.peer(&name).await {
                Ok(_) => Ok(()),
                Err(_) => connect::loopback(address).await.map(drop),
            }
        })
    }
}

impl Door {
    /// Connects to the peer `count` times: how long each took.
    pub(crate) fn connections(&self, count: usize) -> io::Result<Vec<Duration>> {
        let peer: Name = "control".parse().map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut taken = Vec::with_capacity(count);
            for _ in 0..count {
                let begun = Instant::now();
                self.0.peer(&peer).await?;
                taken.push(begun.elapsed());
            }
            Ok(taken)
        })
    }
}

/// Puts `layers` on this process; the door is there if it was named.
pub(crate) fn put_on(layers: &[Layer]) -> Result<Option<Door>, String> {
    let confinement = Confinement::bare(Ports::Only(BTreeSet::from([PEER.port()])));
    for layer in layers {
        let held = match layer {
            Layer::Door => Ok(()),
            Layer::Environment => process::environment::clear(),
            Layer::Privileges => process::give_up_privileges(),
            Layer::Landlock => process::fence::enter(&confinement).map(drop),
            Layer::Seccomp => process::filter::enter().map_err(Into::into),
        };
        held.map_err(|error| format!("{layer:?}: {error}"))?;
    }
    let door = layers.contains(&Layer::Door);
    door.then(|| Ok(Door(connect::Door::new(Arc::new(policy()?))))).transpose()
}

/// The host's layer: the enforcer's own rules for the proof's policy.
pub(crate) fn rules(agent: &str, device: &str) -> Result<String, String> {
    let agent = agent.parse().map_err(|_| "no user id")?;
    let device = device.parse::<Device>().map_err(|error| error.to_string())?;
    let host = Host { agent: Some(agent), devices: Some(vec![device]), observe: None };
    Ok(Ruleset::render(&policy()?, &host).text().into())
}

/// What the proof's policy allows: one peer, through one gateway.
fn policy() -> Result<Policy, String> {
    let peer = serde_json::json!({
        "id": "control", "protocol": "https", "address": PEER.ip(), "port": PEER.port(),
        "pins": { "current": Digest::of(b"control") }, "purpose": "control-plane",
    });
    serde_json::from_value(serde_json::json!({ "peers": [peer], "link": { "gateways": ["10.20.0.1"] } }))
        .map_err(|error| error.to_string())
}
