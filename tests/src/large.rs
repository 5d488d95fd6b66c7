//! A file of many parts on its way to an appliance, by pull and over several sticks, with the agent killed again and
//! again and a bit flipped on the server or on a stick. Its content is nearly nothing but holes, so that it costs disk once: where it arrives.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use casemate_protocol::boundary::Policy;
use casemate_protocol::bundle::archive::{MemberKind, Writer};
use casemate_protocol::bundle::manifest::{FileEntry, Manifest};
use casemate_protocol::bundle::part::{MAX_PART, Part};
use casemate_protocol::code::Code;
use casemate_protocol::digest::Hasher;
use casemate_protocol::tuf::targets::{TargetFile, Targets};

use crate::appliance::Appliance;
use crate::depot::{Cast, Nginx};
use crate::repository::Site;

/// Patience with anything that makes no progress.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often is looked where nothing tells.
const TICK: Duration = Duration::from_millis(50);

static PARTS: OnceLock<Vec<Part>> = OnceLock::new();

/// How a run went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Bytes of the file.
    pub length: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Most memory the agent ever held, KiB.
    pub agent_kib: u64,
    /// Most memory its reader ever held, KiB.
    pub reader_kib: u64,
    /// Bytes of parts the server sent.
    pub sent: u64,
    /// Bytes of parts it sent after the bad one was repaired.
    pub sent_after_repair: u64,
    /// How often the agent was killed.
    pub kills: usize,
}

/// What stands at the beginning of part `index`; the rest of it is zero.
fn stamp(index: usize) -> [u8; 16] {
    let mut stamp = [0xa5; 16];
    stamp[..8].copy_from_slice(&(index as u64).to_le_bytes());
    stamp
}

/// The parts of the file: the first call in a process says how many.
fn parts(count: usize) -> &'static [Part] {
    PARTS.get_or_init(|| {
        let zeros = vec![0; 1 << 20];
        let part = |index: usize| {
            let mut hasher = Hasher::new();
            hasher.update(&stamp(index));
            hasher.update(&zeros[16..]);
            (1..MAX_PART >> 20).for_each(|_| hasher.update(&zeros));
            let target = format!("groups/clinics/files/z/model/part-{index:04}");
            Part { target, offset: index as u64 * MAX_PART, length: MAX_PART, sha256: hasher.finish() }
        };
        (0..count).map(part).collect()
    })
}

fn add_file(manifest: &mut Manifest) {
    let parts = PARTS.get().unwrap().clone();
    let length = parts.iter().map(|part| part.length).sum();
    manifest.files.push(FileEntry { path: "z/model".parse().unwrap(), length, parts, consumer: None });
}

fn add_targets(targets: &mut Targets) {
    for part in PARTS.get().unwrap() {
        let hashes = [("sha256".into(), part.sha256.to_string())].into();
        targets.targets.insert(part.target.clone(), TargetFile { length: part.length, hashes, custom: None });
    }
}

/// An appliance that pulls from `port`, with a small bundle; and the site with the large file signed and not yet there.
fn before(program: &str, cast: &Cast, port: u16, count: usize) -> (Appliance, Site) {
    let (appliance, mut site) = (Appliance::new(program), Site::single(b"small\n".to_vec()));
    site.fence(Policy::default());
    appliance.enrol(&mut site, "lux-001");
    cast.connect(&mut site, &appliance, "lux-001", port, 10);
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    let _all = parts(count);
    site.reissue("group.clinics", "data/file", b"beside the large one\n");
    let clinics = site.owner("group.clinics");
    (clinics.edit, clinics.edit_targets) = (add_file, add_targets);
    (appliance, site)
}

/// The agent as a program, and what it says.
struct Daemon {
    process: Child,
    lines: Receiver<String>,
    agent_kib: u64,
    reader_kib: u64,
}

impl Daemon {
    fn start(appliance: &Appliance) -> Self {
        let mut process = appliance.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let talk = BufReader::new(process.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || talk.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { process, lines, agent_kib: 0, reader_kib: 0 }
    }

    /// Started, and taking calls.
    fn ready(appliance: &Appliance) -> Self {
        let daemon = Self::start(appliance);
        while !daemon.lines.recv_timeout(PATIENCE).unwrap().contains("ready") {}
        daemon
    }

    /// What it says next, if it says something soon; looks at its memory.
    fn hear(&mut self) -> Option<String> {
        let line = self.lines.recv_timeout(TICK).ok();
        let id = self.process.id();
        self.agent_kib = self.agent_kib.max(peak(id));
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let children = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
        let children: Vec<_> = children.collect();
        let readers = children.iter().flat_map(|list| list.split_whitespace()).filter_map(|child| child.parse().ok());
        self.reader_kib = readers.map(peak).max().unwrap_or(0).max(self.reader_kib);
        line
    }

    /// Killed, without a word.
    fn kill(mut self, figures: &mut Figures) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
        figures.agent_kib = figures.agent_kib.max(self.agent_kib);
        figures.reader_kib = figures.reader_kib.max(self.reader_kib);
    }
}

/// A scenario that fails leaves nobody behind.
impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Most memory a process ever held, KiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().strip_suffix(" kB")).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Status and bytes of each answered request for a part.
fn sent(nginx: &Nginx) -> Vec<u64> {
    let requests = nginx.requests();
    let parts = requests.iter().filter(|line| line.contains("/z/model/"));
    parts.map(|line| line.split(' ').nth(3).unwrap().parse().unwrap()).collect()
}

fn arrived(appliance: &Appliance, length: u64) -> bool {
    fs::metadata(appliance.path("state/current/groups/clinics/z/model")).is_ok_and(|file| file.len() == length)
}

/// Pulls `count` parts, kills the agent `kills` times, with one bit of one part flipped until everything else is there.
///
/// # Panics
/// It does not arrive, the bad part is not named, or anything is fetched twice that need not be.
#[must_use]
pub fn pull(program: &str, count: usize, kills: usize) -> Figures {
    let cast = Cast::default();
    let nginx = Nginx::start(&cast);
    let (appliance, site) = before(program, &cast, nginx.port, count);
    site.issue().publish(&nginx.tree());
    let mut bad = None;
    for (index, part) in parts(count).iter().enumerate() {
        let (folder, name) = part.target.rsplit_once('/').unwrap();
        let path = nginx.tree().join("targets").join(folder).join(format!("{}.{name}", part.sha256));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        file.set_len(part.length).unwrap();
        file.write_all_at(&stamp(index), 0).unwrap();
        if index == count / 2 {
            file.write_all_at(&[1 << 3], MAX_PART / 2).unwrap();
            bad = Some((file, name.to_owned()));
        }
    }
    let (bad, name) = bad.unwrap();
    let length = count as u64 * MAX_PART;
    let mut figures = Figures { length, ..Figures::default() };
    let started = Instant::now();
    let mut daemon = Daemon::start(&appliance);
    let (mut named, mut repaired, mut progress) = (false, None, (Instant::now(), 0));
    while !arrived(&appliance, length) {
        if let Some(line) = daemon.hear() {
            named |= line.contains("a part cannot be used") && line.contains(&name);
            // Everything but the bad part is there.
            if repaired.is_none() && line.contains("code=missing") && line.contains("a bundle was pulled") {
                repaired = Some(sent(&nginx).len());
                bad.write_all_at(&[0], MAX_PART / 2).unwrap();
            }
        }
        let done = sent(&nginx).len();
        if done > progress.1 {
            progress = (Instant::now(), done);
        }
        assert!(progress.0.elapsed() < PATIENCE, "no progress after {done} requests: {:?}", nginx.requests().last());
        if figures.kills < kills && repaired.is_none() && done >= (figures.kills + 1) * count / (kills + 1) {
            daemon.kill(&mut figures);
            figures.kills += 1;
            daemon = Daemon::start(&appliance);
        }
    }
    figures.seconds = started.elapsed().as_secs_f64();
    daemon.kill(&mut figures);
    let sent = sent(&nginx);
    figures.sent = sent.iter().sum();
    figures.sent_after_repair = sent[repaired.expect("all but the bad part came first")..].iter().sum();
    assert!(named, "the bad part is named: {name}");
    assert_eq!(figures.kills, kills);
    is_what_was_sent(&appliance, count);
    figures
}

/// Imports `count` parts over `sticks` sticks, kills the agent `kills` times on the way, and flips one bit of one part
/// on the second stick, which is then copied anew.
///
/// # Panics
/// It does not arrive, something of it is visible before all of it is, or the bad part is not named.
#[must_use]
pub fn carry(program: &str, count: usize, sticks: usize, kills: usize) -> Figures {
    let (appliance, site) = before(program, &Cast::default(), 1, count);
    let mut figures = Figures { length: count as u64 * MAX_PART, ..Figures::default() };
    let started = Instant::now();
    let mut daemon = Some(Daemon::ready(&appliance));
    for stick in 0..sticks {
        // Beside the folder that the daemon watches: imported when it is said, and by nobody else.
        let path = appliance.path("carried.casemate");
        let mine = |index: usize| index * sticks / count == stick;
        write_archive(&site, &path, count, mine);
        if stick == 1 {
            flip_last_bit(&path);
            let said = import(&appliance, &path, &mut daemon, &mut figures, kills);
            let bad = parts(count)[(0..count).rfind(|index| mine(*index)).unwrap()].sha256.to_string();
            assert!(said.contains(&bad), "the bad part is named: {bad}: {said}");
            assert!(!arrived(&appliance, figures.length));
            flip_last_bit(&path);
        }
        let said = import(&appliance, &path, &mut daemon, &mut figures, kills);
        let last = stick + 1 == sticks;
        assert_eq!(said.contains("(missing)"), !last, "stick {stick}: {said}");
        assert_eq!(appliance.path("state/current/groups/clinics/z").exists(), last, "all of it or nothing: {said}");
    }
    assert!(arrived(&appliance, figures.length));
    figures.seconds = started.elapsed().as_secs_f64();
    if let Some(daemon) = daemon.take() {
        daemon.kill(&mut figures);
    }
    assert_eq!(figures.kills, kills);
    is_what_was_sent(&appliance, count);
    figures
}

/// Imports the bundle at `path` and gives back what was said. The agent is killed, started and asked again whenever
/// enough further parts are verified.
fn import(
    appliance: &Appliance,
    path: &Path,
    daemon: &mut Option<Daemon>,
    figures: &mut Figures,
    kills: usize,
) -> String {
    let count = PARTS.get().unwrap().len();
    loop {
        let mut command = appliance.command(&["import", path.to_str().unwrap()]);
        let mut import = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut killed = false;
        while import.try_wait().unwrap().is_none() {
            if figures.kills < kills && verified(appliance) >= (figures.kills + 1) * count / (kills + 1) {
                // Whoever asks goes first: without a daemon it would do the work itself, and hold the state.
                import.kill().unwrap();
                import.wait().unwrap();
                daemon.take().unwrap().kill(figures);
                figures.kills += 1;
                *daemon = Some(Daemon::ready(appliance));
                killed = true;
            }
            let _said = daemon.as_mut().unwrap().hear();
        }
        let output = import.wait_with_output().unwrap();
        if !killed {
            return String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        }
    }
}

/// Parts of the file that are staged and verified.
fn verified(appliance: &Appliance) -> usize {
    let entries = fs::read_dir(appliance.path("state/staging")).into_iter().flatten().flatten();
    let lists = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "parts"));
    lists.flat_map(|list| fs::read(list.path()).unwrap_or_default()).filter(|flag| *flag == 1).count()
}

/// Flips the last bit of the last part of an archive, or flips it back.
fn flip_last_bit(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() - Writer::end().len() as u64 - 1;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A bundle of the site with those parts of which `mine` is true; holes stay holes.
fn write_archive(site: &Site, path: &Path, count: usize, mine: impl Fn(usize) -> bool) {
    let mut file = File::create(path).unwrap();
    let small = site.issue().bundle().bytes();
    file.write_all(&small[..small.len() - Writer::end().len()]).unwrap();
    for (index, part) in parts(count).iter().enumerate().filter(|(index, _)| mine(*index)) {
        let kind = MemberKind::Object { digest: part.sha256 };
        file.write_all(&Writer::header(&kind, part.length).unwrap()).unwrap();
        file.write_all(&stamp(index)).unwrap();
        let rest = i64::try_from(part.length).unwrap() - 16;
        file.seek(SeekFrom::Current(rest)).unwrap();
    }
    file.write_all(Writer::end()).unwrap();
}

fn is_what_was_sent(appliance: &Appliance, count: usize) {
    let file = File::open(appliance.path("state/current/groups/clinics/z/model")).unwrap();
    for (index, part) in parts(count).iter().enumerate() {
        let mut head = [0; 32];
        file.read_exact_at(&mut head, part.offset).unwrap();
        assert_eq!((&head[..16], &head[16..]), (&stamp(index)[..], &[0; 16][..]));
        file.read_exact_at(&mut head[..1], part.offset + MAX_PART / 2).unwrap();
        assert_eq!(head[0], 0, "part {index}");
    }
}
