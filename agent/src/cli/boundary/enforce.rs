//! `boundary enforce`.

use std::path::PathBuf;

use casemate_protocol::code::Code;
use clap::Args;

use crate::boundary::enforce::nft::DEFAULT_PROGRAM;
use crate::boundary::enforce::{DEFAULT_PATH, Enforcer, Places, Unit, Wish};
use crate::boundary::status::{EnforcerMode, EnforcerStatus};
use crate::cli::connection::{Setup, print_json};
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(in crate::cli) struct Enforce {
    /// Print the rules, ask nft whether it would take them, and load nothing.
    #[arg(long)]
    check: bool,
    /// Allow nothing but loopback, whatever was signed, also before anything is pinned.
    #[arg(long)]
    deny_all: bool,
    /// The agent's systemd unit: its IPAddressAllow= is to name the peers.
    #[arg(long, value_name = "UNIT")]
    agent_unit: Option<String>,
    /// Where it is kept what was accepted.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PATH, hide = true)]
    kept: PathBuf,
    /// A stand-in for nft.
    #[arg(long, value_name = "PROGRAM", default_value = DEFAULT_PROGRAM, hide = true)]
    nft: PathBuf,
}

impl Enforce {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let config = setup.load()?;
        let places = Places {
            state: config.state,
            run: config.boundary.run,
            site: config.boundary.site,
            kept: self.kept,
            nft: self.nft,
            unit: self.agent_unit.map(Unit::new),
        };
        let enforcer = Enforcer::new(places, setup.clock.clone())?;
        let wish = if self.deny_all { Wish::DenyAll } else { Wish::Signed };
        if self.check {
            print!("{}", enforcer.check(wish)?.text());
            return Ok(Code::Applied);
        }
        let status = enforcer.enforce(wish)?;
        if setup.json {
            print_json(&status)?;
        } else {
            eprintln!("{}", told(&status));
        }
        Ok(status.refused.map_or(Code::Applied, |refusal| refusal.code))
    }
}

fn told(status: &EnforcerStatus) -> String {
    let name = match (&status.boundary, status.version) {
        (Some(name), Some(version)) => format!("Boundary {name}, version {version},"),
        _ => "A boundary that allows nothing".into(),
    };
    let how = match (status.mode, status.observe_until) {
        (EnforcerMode::Observe, Some(until)) => format!("is observed until {until}"),
        _ => "is enforced".into(),
    };
    let refused = status.refused.map_or_else(String::new, |refusal| {
        format!("\nWhat was handed over was not taken ({}): {}", refusal.code.as_str(), refusal.code.remedy())
    });
    format!("{name} {how}; policy {}.{refused}", status.policy)
}
