//! A machine with an agent's state folder that is not root's, and an enforcer's that is.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use casemate_agent::boundary::enforce::nft::DEFAULT_PROGRAM;
use casemate_agent::boundary::enforce::{Enforcer, Pin, Places, Wish};
use casemate_agent::boundary::status::EnforcerStatus;
use casemate_agent::clock::WallClock;
use casemate_engine::time::{BootId, Moment};
use casemate_protocol::boundary::{self, Narrowing, Policy};
use casemate_protocol::bundle::archive::MemberKind;
use casemate_protocol::device::enrolment::EnrolmentGrant;
use casemate_protocol::digest::Digest;
use casemate_protocol::signed;
use casemate_tests::namespace::run;
use casemate_tests::repository::{Bundle, Site, clock, device, signed_at};

/// The agent's user.
pub(super) const AGENT: u32 = 4242;

pub(super) struct Machine {
    folder: tempfile::TempDir,
    days: u64,
    up: u64,
}

impl Machine {
    pub(super) fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), days: 0, up: 0 };
        let own = machine.handed();
        fs::create_dir_all(&own).unwrap();
        for path in [own.parent().unwrap(), &own] {
            chown(path, Some(AGENT), None).unwrap();
        }
        machine
    }

    /// One whose enforcer was told of `site`, for appliance `lux-002`.
    pub(super) fn pinned(site: &Site) -> Self {
        let machine = Self::new();
        let device = device("lux-002");
        let grant = EnrolmentGrant::new(device.id, device.jurisdiction, device.keys, &site.root(1));
        let pin = Pin::of(&grant.to_bytes().unwrap()).unwrap();
        let words = pin.words().lines().join(" ");
        pin.confirm(&words, &machine.kept()).unwrap();
        machine
    }

    /// The same machine, its wall clock `days` after what was signed.
    pub(super) fn later(self, days: u64) -> Self {
        Self { days, ..self }
    }

    /// The same machine, which runs for `days` by its own count.
    pub(super) fn up_for(self, days: u64) -> Self {
        Self { up: days * 86_400, ..self }
    }

    pub(super) fn enforcer(&self) -> Enforcer {
        let places = Places {
            state: self.path("state"),
            run: self.run(),
            site: self.path("narrowing.json"),
            kept: self.kept(),
            nft: DEFAULT_PROGRAM.into(),
            unit: None,
        };
        let (days, moment) = (self.days, Moment { boot: BootId::of("a run"), uptime_seconds: self.up });
        let clock = WallClock::new(move || signed_at().plus_days(days), clock().build).with_moment(move || moment);
        Enforcer::new(places, clock).unwrap()
    }

    pub(super) fn enforce(&self) -> EnforcerStatus {
        self.enforcer().enforce(Wish::Signed).unwrap()
    }

    /// What stands in the status file.
    pub(super) fn status(&self) -> EnforcerStatus {
        EnforcerStatus::read(&self.run()).unwrap()
    }

    /// Hands over what the agent makes of `site`: first what it leaves of the boundary, which is all, then the offer.
    pub(super) fn offer(&self, site: &Site) {
        self.narrow(Some(&narrowing(site.clone().lan())));
        self.hand(&offer(site, "lux-002"));
    }

    /// Hands over `content` as the offer, as the agent does: whole, by a rename.
    pub(super) fn hand(&self, content: &[u8]) {
        self.put("offer", content);
    }

    pub(super) fn put(&self, name: &str, content: &[u8]) {
        let fresh = self.handed().join(format!("{name}.new"));
        fs::write(&fresh, content).unwrap();
        chown(&fresh, Some(AGENT), None).unwrap();
        fs::rename(&fresh, self.handed().join(name)).unwrap();
    }

    /// The agent's own narrowing.
    pub(super) fn narrow(&self, content: Option<&[u8]>) {
        match content {
            Some(content) => self.put("narrowing.json", content),
            None => fs::remove_file(self.handed().join("narrowing.json")).unwrap(),
        }
    }

    /// The site's.
    pub(super) fn narrow_site(&self, content: Option<&[u8]>) {
        match content {
            Some(content) => fs::write(self.path("narrowing.json"), content).unwrap(),
            None => fs::remove_file(self.path("narrowing.json")).unwrap(),
        }
    }

    /// Where the agent hands over.
    pub(super) fn handed(&self) -> PathBuf {
        self.path("state/boundary")
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.path("kept")
    }

    pub(super) fn run(&self) -> PathBuf {
        self.path("run")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }
}

/// Everything that belongs in an offer for appliance `id`, whatever a judge would say of it.
pub(super) fn offer(site: &Site, id: &str) -> Vec<u8> {
    let issue = site.issue();
    let bundle = issue.bundle();
    let wanted = [format!("appliances/{id}.json"), "boundary/envelope.json".into(), "boundary/lan.json".into()];
    let wanted = wanted.map(|target| MemberKind::Object { digest: Digest::of(&issue.content[&target]) });
    let belongs = |kind: &MemberKind| match kind {
        MemberKind::Metadata { role, version } => match role.as_str() {
            "root" => version.get() > 1,
            role => matches!(role, "timestamp" | "snapshot" | "targets" | "boundary"),
        },
        kind => wanted.contains(kind),
    };
    Bundle { members: bundle.members.into_iter().filter(|(kind, _)| belongs(kind)).collect() }.bytes()
}

/// What says that `policy` is left.
pub(super) fn narrowing(policy: &Policy) -> Vec<u8> {
    signed::message(&Narrowing { format: boundary::FORMAT, allow: policy.clone() }).unwrap()
}

/// Every table of the namespace, without what counters count.
pub(super) fn rules() -> String {
    run("nft", &["--stateless", "list", "ruleset"])
}
