//! Looks names up, a few at a time.
//!
//! The system's look-up blocks a thread, for half a minute when no name server answers, also after its caller has gone.
//! Those threads are few and reads of the database need them, so alerts may take a part of them only.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use tokio::sync::Semaphore;

/// Look-ups at the same time, over all services in the process.
static TURNS: Semaphore = Semaphore::const_new(3);

/// The addresses of a host, each with `port`. Whoever asks sets the time limit.
pub(super) async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let turn = TURNS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let look_up = move || {
        // Held until the thread is free again, whether or not anybody still waits.
        let _turn = turn;
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    };
    tokio::task::spawn_blocking(look_up)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_found() {
        let found = addresses("127.0.0.1", 25).await.expect("an address");
        assert_eq!(found, ["127.0.0.1:25".parse().expect("an address")]);
        let found = addresses("::1", 25).await.expect("an address");
        assert_eq!(found, ["[::1]:25".parse().expect("an address")]);
        let found = addresses("localhost", 25).await.expect("addresses");
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 25)
        );
        assert!(addresses("nowhere.invalid", 25).await.is_err());
    }
}
