//! The command line. Man pages and completions are made from these definitions.

use std::path::PathBuf;

use casemate_protocol::tuf::time::UtcTime;
use clap::{Parser, Subcommand};

use crate::commands;
use crate::exit::{Exit, Failure};
use crate::output::{Output, wall_clock};
use crate::site::{Layout, SiteError};

/// Configuration for appliances that are cut off: planned, signed by two, packed, carried, receipted.
///
/// One flow: edit the site folder, `casemate plan`, `casemate sign`, `casemate check`, `casemate pack --stick DIR`.
/// Data goes to stdout, talk to stderr.
#[derive(Debug, Parser)]
#[command(name = "casemate", version, max_term_width = 110, after_help = EXITS, after_long_help = EXITS)]
pub(crate) struct Cli {
    /// The site folder; `.` or `./site` unless given.
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    site: Option<PathBuf>,
    /// Print data as JSON, errors too.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Act as if it were this time, for rehearsals and tests.
    #[arg(long, global = true, hide = true, value_name = "TIME")]
    now: Option<UtcTime>,
    #[command(subcommand)]
    command: Command,
}

const EVERYWHERE: &str = "Everywhere";

const EXITS: &str = "\
Exit codes: 0 done or nothing to do; 1 refused; 2 the command line or a file of the site is wrong (receipt verify: a \
receipt does not verify); 3 the environment failed; 4 stored state is damaged. Every error names a code; see \
docs/codes.md.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a site: keys outside it, root 1, an empty signed repository, starter files
    ///
    /// Makes two keys for every person (NAME-root.key signs roots, NAME.key everything else) and two for the machine that
    /// publishes (snapshot.key, timestamp.key), signs version 1 of every role, and writes starter files that explain
    /// themselves. Prints the root's fingerprint: write it on paper.
    Init(commands::init::Args),
    /// Signing keys
    #[command(subcommand)]
    Key(commands::key::Verb),
    /// Enrol appliances and list them
    #[command(subcommand)]
    Appliance(commands::appliance::Verb),
    /// What appliances may exchange with whom
    #[command(subcommand)]
    Boundary(commands::boundary::Verb),
    /// Certificates for connections: the site's authority, what it issues, what it revokes
    ///
    /// They let people, services and appliances talk to each other; they sign nothing that is applied. The authority's private
    /// key lies with the other private keys, everything else in SITE/ca, for review. Appliances get their certificates,
    /// authorities and revocation lists in bundles: after each of these commands, plan, sign and pack.
    #[command(subcommand)]
    Ca(commands::ca::Verb),
    /// Render the site, check it, show what changes and for whom; keep it for signing
    ///
    /// Renders every file, reports everything wrong in the site at once with file and line, compares with what was signed
    /// last, and keeps the outcome in SITE/.plan. A plan holds for exactly this site and repository: once anything
    /// changes, signing refuses it (plan-stale) and another plan is needed.
    Plan(commands::plan::Args),
    /// Sign the plan and publish it in the site's repository
    ///
    /// Without a step, signs with the private keys at hand and publishes: enough for a demo, or where all signers sit at one
    /// machine. In life: `sign request -o FILE`, then `sign add FILE --key KEY` at every signer's own machine, then
    /// `sign finish SIG…`. `add` signs what the signer's own site folder gives too, and nothing else.
    /// Thresholds count keys and persons; only roles that changed get a new version.
    Sign(commands::sign::Args),
    /// Judge what is signed exactly as every confirmed appliance would
    ///
    /// Runs the appliances' own verifier over the bundle that would be packed for all of them: metadata, thresholds, expiry,
    /// assignments, manifests, and the content of every file. What one of them would refuse is named with its code.
    Check(commands::check::Args),
    /// Write a bundle for a stick or a folder
    ///
    /// Checks first, as `casemate check` does, and writes nothing that an addressed appliance would refuse. The file appears
    /// whole or not at all, named by the timestamp's version and its own digest
    /// (`7-1f0c22ab.casemate`); packing the same state twice gives
    /// the same bytes. `tar tf` lists it.
    Pack(commands::pack::Args),
    /// Show what bundles hold
    ///
    /// Reads every byte through the appliances' verifier. Without --root the first root in the bundle is taken at its word,
    /// and the output says "not verified": that shows what a bundle claims, not that it may be believed.
    Inspect(commands::inspect::Args),
    /// What appliances say they did
    #[command(subcommand)]
    Receipt(commands::receipt::Verb),
    /// The root of trust
    #[command(subcommand)]
    Root(commands::root::Verb),
    /// Write the man pages
    Man(commands::man::Args),
    /// Print a shell's completion script
    Completions(commands::completions::Args),
    /// Print the table of codes
    #[command(hide = true)]
    Codes,
}

/// What every command is given.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    site: Option<PathBuf>,
    /// Where data and talk go.
    pub(crate) output: Output,
    /// The time.
    pub(crate) now: UtcTime,
}

impl Context {
    /// The site the command is about.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn layout(&self) -> Result<Layout, SiteError> {
        Layout::find(self.site.as_deref())
    }

    /// Whether `--site` was given.
    pub(crate) fn names_site(&self) -> bool {
        self.site.is_some()
    }
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever the command fails with.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let now = self.now.unwrap_or_else(wall_clock);
        let context = Context { site: self.site, output: Output::new(self.json), now };
        match self.command {
            Command::Init(args) => commands::init::run(&context, &args),
            Command::Key(verb) => commands::key::run(&context, &verb),
            Command::Appliance(verb) => commands::appliance::run(&context, &verb),
            Command::Boundary(verb) => commands::boundary::run(&context, &verb),
            Command::Ca(verb) => commands::ca::run(&context, &verb),
            Command::Plan(args) => commands::plan::run(&context, &args),
            Command::Sign(args) => commands::sign::run(&context, &args),
            Command::Check(args) => commands::check::run(&context, &args),
            Command::Pack(args) => commands::pack::run(&context, &args),
            Command::Inspect(args) => commands::inspect::run(&context, &args),
            Command::Receipt(verb) => commands::receipt::run(&context, &verb),
            Command::Root(verb) => commands::root::run(&context, &verb),
            Command::Man(args) => commands::man::run(&context, &args),
            Command::Completions(args) => commands::completions::run(&args),
            Command::Codes => commands::codes::run(&context),
        }
    }
}
