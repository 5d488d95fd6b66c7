//! Many bundles through one daemon, good and bad in turn, and what it holds afterwards.

use std::path::Path;
use std::process::{Child, Stdio};

use casemate_agent::local_api::answer::{ConsumerReport, ImportReport, Outcome, ReceiptList};
use casemate_agent::local_api::call::{Answer, Call, ImportSource};
use casemate_agent::local_api::client::Client;
use casemate_protocol::bundle::manifest::{Apply, Consumer};
use casemate_protocol::code::Code;
use casemate_protocol::evidence::receipt::Transport;

use crate::appliance::Appliance;
use crate::repository::Site;

/// What a daemon holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory, KiB.
    pub rss_kib: u64,
    /// Objects that are no receipts.
    pub objects: usize,
    /// Folders of the owner's generations.
    pub generations: usize,
    /// Files left in the staging folder.
    pub staged: usize,
}

impl Held {
    /// Checks that since `earlier` nothing was left over, and that memory grew by `slack_kib` KiB at most.
    ///
    /// # Errors
    /// What there is more of.
    pub fn is_no_more_than(&self, earlier: &Self, slack_kib: u64) -> Result<(), String> {
        let least = self.rss_kib.min(earlier.rss_kib);
        let same = Self { rss_kib: least, ..*self } == Self { rss_kib: least, ..*earlier };
        let flat = self.rss_kib <= earlier.rss_kib + slack_kib;
        if same && flat {
            Ok(())
        } else {
            Err(format!("{earlier:?} became {self:?}; memory may grow by {slack_kib} KiB"))
        }
    }
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Takes `bundles` bundles, every second of which its consumer refuses, through one daemon of `program`. What it held
/// after each of those that `looks` names.
///
/// # Panics
/// Something does not end as it should.
#[must_use]
pub fn endure(program: &str, bundles: u64, looks: &[u64]) -> Vec<Held> {
    let (appliance, mut site) = (Appliance::new(program), Site::sample());
    appliance.enrol(&mut site, "lux-001");
    let clinics = site.owner("group.clinics");
    clinics.apply = Apply { confirm: vec!["consumers".into()], ..Apply::default() };
    clinics.edit = |manifest| {
        let consumer = Consumer { unit: None, on_change: Default::default(), ready: None };
        manifest.consumers = [("synapse".parse().unwrap(), consumer)].into();
    };
    let daemon = Daemon(appliance.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut held = Vec::new();
    for number in 1..=bundles {
        site.reissue("group.clinics", "synapse/homeserver.yaml", format!("number {number}\n").repeat(700).as_bytes());
        let path = appliance.path("next.casemate");
        std::fs::write(&path, site.issue().bundle().bytes()).unwrap();
        let good = number % 2 == 1;
        runtime.block_on(turn(&appliance, &path, number, good));
        if looks.contains(&number) {
            held.push(runtime.block_on(look(&appliance, daemon.0.id())));
        }
    }
    held
}

/// One bundle, its consumer's word on it, and its receipt taken home.
async fn turn(appliance: &Appliance, bundle: &Path, number: u64, good: bool) {
    let call = Call::Import {
        source: ImportSource::Path(bundle.into()),
        transport: Transport::Local,
        wait: false,
        dry_run: false,
    };
    let report: ImportReport = serde_json::from_value(ask(appliance, call).await.unwrap()).unwrap();
    assert_eq!(report.code, Code::Probation, "{report:?}");
    let outcome = if good { Outcome::Ready } else { Outcome::Failed };
    let report = ConsumerReport { owner: "group.clinics".parse().unwrap(), generation: number, outcome, reason: None };
    ask(appliance, Call::Report { consumer: "synapse".parse().unwrap(), report }).await.unwrap();
    let list: ReceiptList = serde_json::from_value(ask(appliance, Call::Receipts).await.unwrap()).unwrap();
    let newest = list.receipts.last().unwrap();
    let code = if good { Code::Applied } else { Code::ConsumerFailed };
    assert_eq!((newest.sequence, newest.code), (number, code));
    ask(appliance, Call::ReceiptTaken { sequence: number, by: None }).await.unwrap();
    let good = number - u64::from(!good);
    let text = appliance.current("groups/clinics/synapse/homeserver.yaml").unwrap();
    assert!(text.starts_with(format!("number {good}\n").as_bytes()));
}

async fn look(appliance: &Appliance, pid: u32) -> Held {
    let list: ReceiptList = serde_json::from_value(ask(appliance, Call::Receipts).await.unwrap()).unwrap();
    let count = |path: &Path| std::fs::read_dir(path).unwrap().count();
    let process = Path::new("/proc").join(pid.to_string());
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()).unwrap();
    Held {
        descriptors: count(&process.join("fd")),
        rss_kib: rss.parse().unwrap(),
        objects: count(&appliance.path("state/objects")) - list.receipts.len(),
        generations: count(&appliance.path("state/generations/groups/clinics")),
        staged: count(&appliance.path("state/staging")),
    }
}

/// Asks the daemon, as soon as it listens.
async fn ask(appliance: &Appliance, call: Call) -> Answer {
    loop {
        if let Some(client) = Client::connect(&appliance.path("socket")).await {
            return client.call(&call).await;
        }
        tokio::task::yield_now().await;
    }
}
