use super::*;

#[test]
fn this_machine_is_one_site_and_leaves_places_to_others() {
    let (addresses, limits) = (Addresses::default(), Limits::default());
    let own = ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"].map(|address| site(address.parse().unwrap()));
    let inside: Vec<_> = own.iter().cycle().map_while(|at| addresses.enter(*at, limits.from_one_address)).collect();
    assert_eq!(inside.len(), limits.from_one_address);
    assert!(limits.from_one_address * 2 <= limits.connections);
    assert!(addresses.enter(site("10.20.0.1".parse().unwrap()), limits.from_one_address).is_some());
}

#[test]
fn of_ipv6_a_network_is_a_site_and_of_ipv4_an_address() {
    let at = |address: &str| site(address.parse().unwrap());
    assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
    assert!(at("2001:db8::1") != at("2001:db8:0:1::1") && at("10.20.0.1") != at("10.20.0.2"));
}

#[test]
fn a_port_that_somebody_else_has_is_said_once_and_had_once_it_is_free() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let others = Gate::open(&Listen { port: 0, from: Vec::new() }).unwrap();
        let port = others.port().unwrap();
        let mut listener = Listener::new(Listen { port, from: Vec::new() }, Limits::default());
        let told = std::cell::RefCell::new(Vec::new());
        for _ in 0..3 {
            listener.open(&|news| told.borrow_mut().push(news)).await;
            assert!(listener.is_shut_out && listener.gate.is_none());
        }
        drop(others);
        listener.open(&|news| told.borrow_mut().push(news)).await;
        assert!(!listener.is_shut_out);
        assert_eq!(told.take(), [News::Opened(port)]);
    });
}
