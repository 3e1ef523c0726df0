//! How many connections one address can have: real sockets, whose peers say that they are somewhere else.

use futures_util::FutureExt as _;

use super::super::*;
use crate::clock::Clock;
use crate::http::testing::proxies;

const STRANGER: &str = "203.0.113.7";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

struct Door {
    server: Server,
    listener: TcpListener,
    metrics: Registry,
}

impl Door {
    /// For eight connections, two of one public address.
    async fn new() -> Self {
        let settings = Settings {
            max_connections: 8,
            max_per_address: Some(2),
            ..Settings::default()
        };
        let metrics = Registry::default();
        let counters = Counters::new(&metrics, &settings, None);
        let router = Router::new().route("/", axum::routing::get(async || "hello"));
        let lifecycle = Lifecycle::new(Clock::system());
        let trusted = proxies("198.51.100.0/24");
        Self {
            server: Server::new(router, settings, &trusted, &lifecycle, counters),
            listener: bind(IpAddr::from([127, 0, 0, 1]), 0)
                .await
                .expect("a free port"),
            metrics,
        }
    }

    /// A connection that claims to come from `address`, and whether there was room for it.
    async fn knock(&mut self, address: &str) -> (TcpStream, bool) {
        let to = self.listener.local_addr().expect("it is bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(to), self.listener.accept());
        let (theirs, _) = accepted.expect("accepted");
        let peer = SocketAddr::new(address.parse().expect("an address"), 1);
        let before = self.server.open.len();
        self.server.admit(theirs, peer).await;
        (client.expect("connected"), self.server.open.len() > before)
    }

    /// Connections from `address` until there is no room.
    async fn crowd(&mut self, address: &str) -> Vec<TcpStream> {
        let mut crowd = Vec::new();
        loop {
            match self.knock(address).await {
                (client, true) => crowd.push(client),
                (_, false) => return crowd,
            }
        }
    }

    #[track_caller]
    fn check(&self, series: &str, expected: u64) {
        let text = self.metrics.render();
        let line = format!("monlight_http_connections_{series} {expected}");
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
}

/// All that comes until the end.
async fn told(mut client: TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("a text");
    answer
}

#[tokio::test]
async fn a_stranger_cannot_have_all_connections() {
    let mut door = Door::new().await;
    let crowd = door.crowd(STRANGER).await;
    assert_eq!(crowd.len(), 2);
    door.check("max", 8);
    door.check("per_address_max", 2);
    door.check("refused_total{reason=\"address\"}", 1);
    door.check("refused_total{reason=\"all\"}", 0);
    let (refused, _) = door.knock(STRANGER).await;
    let answer = told(refused).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // Others have room, and room comes back.
    let (mut other, has_room) = door.knock("203.0.113.8").await;
    assert!(has_room);
    other.write_all(REQUEST).await.expect("taken");
    other.shutdown().await.expect("closed");
    assert!(told(other).await.ends_with("hello"));
    drop(crowd);
    while !door.server.by_network.is_empty() {
        let ended = door.server.tasks.join_next_with_id().await;
        door.server.reap(ended.expect("some are open"));
    }
    assert_eq!(door.crowd(STRANGER).await.len(), 2);
}

#[tokio::test]
async fn nobody_waits_for_a_stranger_who_wants_more() {
    let mut door = Door::new().await;
    let _crowd = door.crowd(STRANGER).await;
    let to = door.listener.local_addr().expect("it is bound");
    let (_client, accepted) = tokio::join!(TcpStream::connect(to), door.listener.accept());
    let (theirs, _) = accepted.expect("accepted");
    let peer = SocketAddr::new(STRANGER.parse().expect("an address"), 1);
    let admitted = door.server.admit(theirs, peer).now_or_never();
    assert!(admitted.is_some(), "the next ones wait");
    door.check("refused_total{reason=\"address\"}", 2);
}

#[tokio::test]
async fn an_idle_connection_of_the_stranger_makes_room() {
    let mut door = Door::new().await;
    let mut crowd = door.crowd(STRANGER).await;
    for client in &mut crowd {
        client.write_all(REQUEST).await.expect("taken");
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert!(client.read_buf(&mut answer).await.expect("read") > 0);
        }
    }
    let (_client, _) = door.knock(STRANGER).await;
    door.check("closed_for_room_total", 1);
    assert_eq!(door.server.open.len(), 2);
    assert_eq!(told(crowd.swap_remove(0)).await, "", "the longest idle");
}

#[tokio::test]
async fn what_one_address_is() {
    for (address, room) in [
        (STRANGER, 2),
        ("::ffff:203.0.113.7", 2),
        ("2001:db8::7", 2),
        // Maybe a gateway.
        ("172.17.0.1", 6),
        ("fd00::1", 6),
        // They speak for many.
        ("127.0.0.1", 8),
        ("::1", 8),
        ("198.51.100.1", 8),
    ] {
        let mut door = Door::new().await;
        assert_eq!(door.crowd(address).await.len(), room, "{address}");
    }
    // All of a /64 is one.
    let mut door = Door::new().await;
    let mut open = Vec::new();
    for (address, has_room) in [
        ("2001:db8::1", true),
        ("2001:db8::2", true),
        ("2001:db8::3", false),
        ("2001:db8:0:1::1", true),
    ] {
        let (client, found) = door.knock(address).await;
        open.push(client);
        assert_eq!(found, has_room, "{address}");
    }
}
