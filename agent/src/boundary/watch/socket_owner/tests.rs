use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;

use super::super::attributes::attribute;
use super::*;

#[test]
fn the_control_group_stands_among_the_answers_attributes() {
    let body = [&[0; ANSWER][..], &attribute(3, &[1; 8]), &attribute(CONTROL_GROUP, &77_u64.to_ne_bytes())].concat();
    assert_eq!(control_group(&request(BY_FAMILY, 0, &body)), Some(77));
    assert_eq!(control_group(&request(2, 0, &body)), None);
    for cut in 0..body.len() {
        assert_eq!(control_group(&request(BY_FAMILY, 0, &body[..cut])), None, "{cut}");
    }
}

#[test]
fn a_socket_of_this_process_is_in_this_processs_control_group() {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let Some(path) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else { return };
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(std::path::Path::new);
    let Some(root) = roots.into_iter().find(|root| root.join("cgroup.procs").exists()) else { return };
    let own = std::fs::metadata(root.join(path)).unwrap().ino();
    let sockets = Sockets::open().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a socket to find, on loopback")]
    let stream = std::net::TcpStream::connect(there).unwrap();
    assert_eq!(sockets.control_group(true, stream.local_addr().unwrap(), there), Some(own));

    #[expect(clippy::disallowed_methods, reason = "a socket to find, on loopback")]
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(sockets.control_group(false, socket.local_addr().unwrap(), there), Some(own));
    let gone = socket.local_addr().unwrap();
    drop(socket);
    assert_eq!(sockets.control_group(false, gone, there), None);
}
