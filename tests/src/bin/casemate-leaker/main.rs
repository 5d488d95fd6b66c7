//! A program that phones home, each way it knows: planted by the egress proof (`tests/egress/`), which must catch it.
//!
//! `casemate-leaker LEAK [LAYER…]` puts the named layers on itself and then leaks once. `canary PORT` makes one attempt
//! that never leaves the machine, so that a trace without it is known to be blind. `rest [LAYER…]` does nothing, and
//! `measure COUNT [LAYER…]` connects to the peer, to tell what layers cost. `rules UID DEVICE` prints what the enforcer
//! would load for the policy that names this peer.
#![allow(clippy::print_stdout, reason = "what it says is what the proof reads")]

mod layer;
mod leak;
mod measure;

use std::process::ExitCode;

use layer::Layer;
use leak::Leak;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("casemate-leaker: {reason}");
            ExitCode::from(2)
        }
    }
}

/// What became of the attempt, as one line.
fn run(words: &[String]) -> Result<String, String> {
    let (name, layers) = words.split_first().ok_or("say which leak")?;
    if name == "canary" {
        let port = layers.first().and_then(|port| port.parse().ok()).ok_or("a canary names its port")?;
        return Ok(outcome(leak::canary(port)));
    }
    if name == "measure" {
        let (count, layers) = layers.split_first().ok_or("say how many connections")?;
        let count = count.parse().map_err(|_| "not a number of connections")?;
        let median = measure::connections(count, layer::put_on(&parse(layers)?)?.as_ref());
        return median.map(|median| median.as_nanos().to_string()).map_err(|error| error.to_string());
    }
    if name == "rules" {
        let [agent, device] = layers else { return Err("say the agent's user and a device".into()) };
        return layer::rules(agent, device);
    }
    let layers = parse(layers)?;
    if name == "rest" {
        return layer::put_on(&layers).map(|_| "rested".into());
    }
    let leak: Leak = name.parse()?;
    let door = layer::put_on(&layers)?;
    Ok(outcome(leak.attempt(door.as_ref())))
}

fn parse(layers: &[String]) -> Result<Vec<Layer>, String> {
    layers.iter().map(|layer| layer.parse()).collect()
}

fn outcome(result: std::io::Result<()>) -> String {
    match result {
        Ok(()) => "sent".into(),
        Err(error) => format!("refused: {error}"),
    }
}
