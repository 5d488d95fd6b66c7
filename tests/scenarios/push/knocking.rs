//! Who may knock, in a network with addresses that boundaries can name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use casemate_agent::boundary::listen::Gate;
use casemate_protocol::boundary::Listen;
use casemate_tests::namespace::{World, in_namespace, run};

/// Sends a byte to `port` from the other end of the cable, from `source`, and says what came back: a greeting, or
/// `closed`.
fn knocked(world: &World, source: &str, port: u16) -> String {
    let script = format!(
        "import socket\ns = socket.socket()\ns.settimeout(20)\ns.bind(('{source}', 0))\ns.connect(('10.20.1.2', {port}))\n\
         try:\n s.sendall(b'x')\n print((s.recv(9) or b'closed').decode())\nexcept ConnectionError:\n print('closed')"
    );
    world.run("python3", &["-c", &script]).trim().to_owned()
}

#[test]
fn who_is_not_named_is_sent_away_before_a_byte_of_his_is_read() {
    in_namespace(|| {
        let world = World::wired();
        let _named = run("ip", &["address", "add", "10.20.1.2/24", "dev", "eth0"]);
        let _up = run("ip", &["link", "set", "eth0", "up"]);
        let _other = world.run("ip", &["address", "add", "10.20.1.9/24", "dev", "world"]);
        let listen = Listen { port: 0, from: vec!["10.20.1.1".parse().unwrap()] };
        let (told, port) = std::sync::mpsc::channel();
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        // The sockets belong to this namespace, so they are made here.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let gate = runtime.block_on(async { Gate::open(&listen).unwrap() });
        told.send(gate.port().unwrap()).unwrap();
        let greet = move || {
            runtime.block_on(async {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                for _ in 0..3 {
                    let Some((mut stream, from)) = gate.accept().await.unwrap() else { continue };
                    assert_eq!(SocketAddr::new(from, 0), "10.20.1.1:0".parse().unwrap());
                    let read = stream.read(&mut [0; 9]).await.unwrap();
                    counted.fetch_add(read as u64, Ordering::SeqCst);
                    stream.write_all(b"come in").await.unwrap();
                }
            });
        };
        let serving = std::thread::spawn(greet);
        let port = port.recv().unwrap();
        assert_eq!(knocked(&world, "10.20.1.9", port), "closed");
        assert_eq!(bytes.load(Ordering::SeqCst), 0);
        assert_eq!(knocked(&world, "10.20.1.1", port), "come in");
        assert_eq!(knocked(&world, "10.20.1.9", port), "closed");
        serving.join().unwrap();
    });
}
