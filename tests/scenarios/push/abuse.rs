//! Whoever means no good: others are still served.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use casemate_agent::transport::push::Limits;

use super::station::Station;

#[test]
fn what_is_no_handshake_costs_nobody_anything() {
    let limits = Limits { handshake: Duration::from_secs(2), handshake_burst: 500, ..Limits::default() };
    let station = Station::with(limits, 0);
    for bytes in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"\x16\x03\x01", b"", &[0xff; 4096], &[0x16; 40_000]] {
        for _ in 0..20 {
            let mut stream = station.knock().unwrap();
            let _sent = stream.write_all(bytes);
        }
    }
    // Slow ones: a byte, and then silence. They are given up, and only so many of them are inside at once.
    let mut slow: Vec<_> = (0..40).map(|_| station.knock().unwrap()).collect();
    for stream in &mut slow {
        let _sent = stream.write_all(&[0x16]);
    }
    // All places of this address are taken by them for at most two seconds.
    let holder = station.client("service");
    let until = Instant::now() + Duration::from_secs(60);
    while station.curl(&holder, "/v1/health").status != 200 {
        assert!(Instant::now() < until, "nobody else is served");
    }
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // Ended, one way or another; never left open.
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    }
}
