//! Intake against the floor, in one run: `casemate-bench-intake <agent> <floor> <folder> [MiB]`.
//!
//! CPU is the parent's and the child's together; the floor writes the same content as one file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use casemate_agent::intake::{Input, Launcher, Order};
use casemate_tests::repository::{Site, clock, device};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [verb, agent, bundle, staging, rounds] if verb == "import" => {
            import(Path::new(agent), Path::new(bundle), Path::new(staging), rounds.parse()?)
        }
        [verb, folder, mib] if verb == "make" => make(Path::new(folder), mib.parse()?),
        [agent, floor, folder] => measure(agent, floor, Path::new(folder), 1024),
        [agent, floor, folder, mib] => measure(agent, floor, Path::new(folder), mib.parse()?),
        _ => Err("casemate-bench-intake <agent> <floor> <folder> [MiB]".into()),
    }
}

/// Content that no shortcut fits: xorshift64.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// `large` and `small` content as files and as bundles. Its own process, so that its memory is nobody else's peak.
fn make(folder: &Path, mib: usize) -> Fallible<()> {
    for (name, length) in [("large", mib << 20), ("small", 48 << 10)] {
        let content = content(length);
        std::fs::write(folder.join(name), &content)?;
        std::fs::write(folder.join(format!("{name}.casemate")), Site::single(content).issue().bundle().bytes())?;
    }
    Ok(())
}

fn cpu(usage: Usage) -> i64 {
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

/// Imports `rounds` times and prints microseconds of CPU, and the peak memory of parent and child, KiB.
fn import(agent: &Path, bundle: &Path, staging: &Path, rounds: u32) -> Fallible<()> {
    // What is stored does not depend on the content.
    let order = Order { stored: Site::single(vec![0]).stored(), device: device("lux-001"), clock: clock(), reserve: 0 };
    let launcher = Launcher::program(agent);
    let spent = || Fallible::Ok(cpu(getrusage(UsageWho::RUSAGE_SELF)?) + cpu(getrusage(UsageWho::RUSAGE_CHILDREN)?));
    let mut total = 0;
    for _ in 0..rounds {
        let _ = std::fs::remove_dir_all(staging);
        std::fs::create_dir(staging)?;
        let before = spent()?;
        launcher.import(&Input::open(bundle)?, &order, staging, &|_| None, &mut |_| {})?;
        total += spent()? - before;
    }
    let peak = |who| Fallible::Ok(getrusage(who)?.max_rss());
    println!("{} {} {}", total / i64::from(rounds), peak(UsageWho::RUSAGE_SELF)?, peak(UsageWho::RUSAGE_CHILDREN)?);
    Ok(())
}

/// Runs `command`, which prints figures; CPU microseconds by this process's own account, and what it printed.
fn run(command: &mut Command) -> Fallible<(i64, f64, Vec<i64>)> {
    let before = cpu(getrusage(UsageWho::RUSAGE_CHILDREN)?);
    let start = Instant::now();
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let spent = cpu(getrusage(UsageWho::RUSAGE_CHILDREN)?) - before;
    let text = String::from_utf8(output.stdout)?;
    let figures = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    Ok((spent, start.elapsed().as_secs_f64(), figures))
}

fn measure(agent: &str, floor: &str, folder: &Path, mib: usize) -> Fallible<()> {
    std::fs::create_dir_all(folder)?;
    let own = std::env::current_exe()?;
    run(Command::new(&own).arg("make").arg(folder).arg(mib.to_string()))?;
    let at = |name: &str| -> PathBuf { folder.join(name) };
    let staging = at("staging");
    let mut ratios = Vec::new();
    let mut peak = 0;
    for round in 1..=5 {
        let _ = std::fs::remove_file(at("copy"));
        let (least, floor_wall, _) = run(Command::new(floor).arg(at("large")).arg(at("copy")))?;
        let mut command = Command::new(&own);
        command.arg("import").arg(agent).arg(at("large.casemate")).arg(&staging).arg("1");
        // By the account of the importing process: its own start is the bench's, not the agent's.
        let (_, wall, figures) = run(&mut command)?;
        let [spent, parent, child] = figures[..] else { return Err("no figures".into()) };
        #[expect(clippy::cast_precision_loss, reason = "microseconds of one run")]
        let ratio = spent as f64 / least as f64;
        println!(
            "import {mib} MiB, round {round}: floor {least} us CPU ({floor_wall:.2} s), import {spent} us CPU ({wall:.2} s), ratio {ratio:.3}, peak {parent} + {child} KiB"
        );
        ratios.push(ratio);
        peak = peak.max(parent.max(child));
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "import {mib} MiB: median ratio {:.3} (at most 1.15), peak of one process {peak} KiB (at most 24576)",
        ratios[2]
    );
    let mut command = Command::new(&own);
    command.arg("import").arg(agent).arg(at("small.casemate")).arg(&staging).arg("200");
    let (_, _, figures) = run(&mut command)?;
    println!(
        "64 KiB bundle: {} us CPU an import, daemon's part and child, mean of 200 (at most 5000 with the commit)",
        figures[0]
    );
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
