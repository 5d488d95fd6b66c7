//! Network namespaces that a test makes for itself: each belongs to one thread and ends with it.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Runs `work` on a thread of its own in a network namespace of its own, in which there is nothing but a loopback
/// device that is down. `None`, and a word on standard error, without root, who alone may make one.
///
/// # Panics
/// As `work` does.
pub fn in_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: making a network namespace wants root");
        return None;
    }
    let isolated = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        work()
    };
    let ended = std::thread::scope(|scope| scope.spawn(isolated).join());
    Some(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Runs a program in this thread's namespace, and answers what it wrote.
///
/// # Panics
/// It cannot be started or fails.
#[must_use]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Another namespace: the other end of a cable. It ends with this value.
#[derive(Debug)]
pub struct World {
    holder: Child,
    _alive: ChildStdin,
}

impl World {
    /// One whose device `world` leads to `eth0` in this namespace. It has 10.20.1.1/24, and says nothing by itself.
    ///
    /// # Panics
    /// The kernel refuses.
    #[must_use]
    pub fn wired() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made && cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut made = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut made).unwrap();
        let alive = holder.stdin.take().unwrap();
        let world = Self { holder, _alive: alive };
        let process = world.holder.id().to_string();
        let _made = run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "world", "netns", &process]);
        let quiet =
            "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6";
        let _quiet = world.run("sh", &["-c", quiet]);
        let _address = world.run("ip", &["address", "add", "10.20.1.1/24", "dev", "world"]);
        let _up = world.run("ip", &["link", "set", "world", "up"]);
        world
    }

    /// Runs a program there.
    ///
    /// # Panics
    /// As [`run`].
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let enter = self.enter();
        run("nsenter", &[&[enter.as_str(), program], arguments].concat())
    }

    /// A program that will run there.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.enter()).arg(program);
        command
    }

    /// Frames that came over the cable so far: the kernel's own count.
    ///
    /// # Panics
    /// The kernel's list has another shape.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let list = self.run("cat", &["/proc/thread-self/net/dev"]);
        let line = list.lines().find_map(|line| line.trim().strip_prefix("world:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn enter(&self) -> String {
        format!("--net={}", Path::new("/proc").join(self.holder.id().to_string()).join("ns/net").display())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The child this value started, and nobody else.
        let _gone = self.holder.kill().and_then(|()| self.holder.wait());
    }
}
