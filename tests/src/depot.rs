//! A repository on a real nginx, with the configuration of docs/pull.md, and an appliance that may pull from it.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use casemate_protocol::boundary::Peer;
use casemate_protocol::device::transport::TransportSettings;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::appliance::Appliance;
use crate::authority::{Authority, Holder, Subject, Wish, ed25519_spki};
use crate::namespace::{in_namespace, run};
use crate::repository::{Site, peer};

/// Where the repository is: an address that boundaries of sample sites can name.
pub const HERE: &str = "10.20.0.9";
/// The configuration that docs/pull.md shows.
pub const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pull/nginx.conf");

/// Runs `work` on a thread of its own where [`HERE`] is an address of this machine.
pub fn at_the_depot(work: impl FnOnce() + Send) {
    let _played = in_namespace(|| {
        let _up = run("ip", &["link", "set", "lo", "up"]);
        let _address = run("ip", &["address", "add", &format!("{HERE}/32"), "dev", "lo"]);
        work();
    });
}

/// A port of [`HERE`] at which nobody listens.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port()
}

/// Who has certificates.
#[derive(Debug)]
pub struct Cast {
    /// Who issued them.
    pub authority: Authority,
    /// The repository's.
    pub server: Holder,
}

impl Default for Cast {
    fn default() -> Self {
        let authority = Authority::new();
        let server = authority.issue(&Wish::service("repository", HERE));
        Self { authority, server }
    }
}

impl Cast {
    /// The repository as a peer.
    #[must_use]
    pub fn peer(&self, port: u16) -> Peer {
        let mut peer = peer("repository", HERE, port);
        peer.address = HERE.parse::<IpAddr>().unwrap();
        peer.pins.current = self.server.pin();
        peer
    }

    /// Has `site` name the repository at `port`, and issues a certificate to `appliance`, which is enrolled as `id`.
    ///
    /// # Panics
    /// The site does not know it, or is not fenced.
    pub fn connect(&self, site: &mut Site, appliance: &Appliance, id: &str, port: u16, poll_seconds: u32) {
        let peer = self.peer(port);
        site.refence(move |policy| policy.peers = vec![peer]);
        let public = appliance.keys().tls.keyval.public;
        let public: Vec<u8> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&public[at..at + 2], 16).unwrap()).collect();
        let subject = Subject::Public(ed25519_spki(&public.try_into().unwrap()));
        let wish = Wish { subject, ..Wish::of(&format!("casemate://LU/appliance/{id}")) };
        let material = self.authority.material(&self.authority.issue(&wish), &[]);
        let settings = TransportSettings { poll_seconds, ..material.settings() };
        site.assignments.get_mut(&id.parse().unwrap()).unwrap().transport = Some(settings);
    }
}

/// nginx over a tree, until dropped.
#[derive(Debug)]
pub struct Nginx {
    folder: tempfile::TempDir,
    /// Where it listens.
    pub port: u16,
    process: Option<Child>,
}

impl Nginx {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(cast: &Cast) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let site = folder.path();
        fs::create_dir(site.join("tree")).unwrap();
        let _files = cast.server.write(site, "repository");
        fs::write(site.join("authority.pem"), cast.authority.anchor_pem()).unwrap();
        fs::write(site.join("crl.pem"), cast.authority.crl_pem(&[])).unwrap();
        let text = fs::read_to_string(CONFIG).unwrap();
        let text = text.replace("/etc/casemate-repository", site.to_str().unwrap());
        let text = text.replace("192.0.2.1:8443", &format!("{HERE}:{port}"));
        let text = text.replace("/srv/casemate;", &format!("{}/tree;", site.display()));
        let here = site.display();
        let main = format!(
            "user root; pid {here}/pid; error_log {here}/error.log; worker_processes 1;\nevents {{}}\nhttp {{\n\
             log_format ranges '$status $request_uri $http_range $body_bytes_sent $ssl_client_s_dn';\n\
             access_log {here}/access.log ranges;\n\
             client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f;\n\
             uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n{text}}}\n"
        );
        fs::write(site.join("nginx.conf"), main).unwrap();
        let mut nginx = Self { folder, port, process: None };
        nginx.run();
        nginx
    }

    /// Starts it again.
    ///
    /// # Panics
    /// It does not start, or is not installed.
    pub fn run(&mut self) {
        let pid = self.folder.path().join("pid");
        let _old = fs::remove_file(&pid);
        let config = self.folder.path().join("nginx.conf");
        let mut command = Command::new("/usr/sbin/nginx");
        let command = command.arg("-c").arg(config).args(["-g", "daemon off;"]).stdin(Stdio::null());
        self.process = Some(command.spawn().expect("nginx is installed: apt-get install nginx-light"));
        // It writes its number once it listens.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
            assert!(Instant::now() < deadline, "{}", self.log("error.log"));
            std::thread::yield_now();
        }
    }

    /// Ends it at once, with the connections it has.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // The quick way, which its workers follow.
            let _ended = kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM);
            let _reaped = process.wait();
        }
    }

    /// The folder it serves.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Requests answered so far, one when its answer has ended: status, path, range, bytes, by whom.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.log("access.log").lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}
