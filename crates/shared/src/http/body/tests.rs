use std::io::Write;

use axum::http::HeaderValue;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures_util::stream;

use super::*;

fn rules(limit: usize, budget: usize) -> BodyRules {
    BodyRules {
        limit,
        budget: BodyBudget::new(budget, &Registry::default()),
    }
}

fn encoded(name: &str) -> HeaderMap {
    HeaderMap::from_iter([(
        header::CONTENT_ENCODING,
        HeaderValue::from_str(name).unwrap(),
    )])
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn chunked(chunks: &[&'static str]) -> Body {
    let chunks: Vec<Result<Bytes, std::io::Error>> = chunks
        .iter()
        .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
        .collect();
    Body::from_stream(stream::iter(chunks))
}

#[track_caller]
fn check(result: Result<Bytes, ApiError>, expected: Result<&[u8], (u16, &str)>) {
    let result = result.map_err(|error| (error.status().as_u16(), error.to_string()));
    let result = result
        .as_deref()
        .map_err(|(status, text)| (*status, text.as_str()));
    assert_eq!(result, expected);
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_read() {
    let none = HeaderMap::new();
    check(read(&none, Body::empty(), &rules(4, 64)).await, Ok(b""));
    check(
        read(&none, Body::from("1234"), &rules(4, 64)).await,
        Ok(b"1234"),
    );
    check(
        read(&none, Body::from("12345"), &rules(4, 64)).await,
        Err((413, super::super::error::TOO_LARGE)),
    );
    check(
        read(&none, chunked(&["12", "", "34"]), &rules(4, 64)).await,
        Ok(b"1234"),
    );
    check(
        read(&none, chunked(&["12", "34", "5"]), &rules(4, 64)).await,
        Err((413, super::super::error::TOO_LARGE)),
    );
}

#[tokio::test]
async fn encodings_are_undone() {
    let text = b"{\"a\": 1}".as_slice();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(text).unwrap();
    let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
    bare.write_all(text).unwrap();
    let two_members = [gzip(b"{\"a\""), gzip(b": 1}")].concat();
    let rules = rules(1024, 1 << 20);
    for (name, bytes) in [
        ("gzip", gzip(text)),
        ("X-GZIP", gzip(text)),
        ("gzip", two_members),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", bare.finish().unwrap()),
        ("identity", text.to_vec()),
        ("", text.to_vec()),
    ] {
        check(
            read(&encoded(name), Body::from(bytes), &rules).await,
            Ok(text),
        );
    }
    check(read(&encoded("gzip"), Body::empty(), &rules).await, Ok(b""));
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused() {
    let rules = rules(1024, 1 << 20);
    let text = "Unsupported Content-Encoding: expected gzip, deflate or identity";
    for name in ["br", "zstd", "gzip, gzip", "gzip, br"] {
        check(
            read(&encoded(name), Body::from("x"), &rules).await,
            Err((415, text)),
        );
    }
    let cut = gzip(b"some text")[..12].to_vec();
    let trailing = [gzip(b"some text"), b"junk".to_vec()].concat();
    for bytes in [b"plain".to_vec(), cut, trailing] {
        check(
            read(&encoded("gzip"), Body::from(bytes), &rules).await,
            Err((400, "Request body is not valid gzip data")),
        );
    }
    check(
        read(&encoded("deflate"), Body::from("\u{7f}\u{7f}"), &rules).await,
        Err((400, "Request body is not valid deflate data")),
    );
    let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other(
        "reset",
    ))]));
    check(
        read(&HeaderMap::new(), broken, &rules).await,
        Err((400, "Failed to read request body")),
    );
    let slow = Body::from_stream(stream::iter([Err::<Bytes, _>(Stalled)]));
    check(
        read(&HeaderMap::new(), slow, &rules).await,
        Err((408, "Request body was not received in time")),
    );
}

#[tokio::test]
async fn a_bomb_stops_at_the_limit() {
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let rules = rules(256 * 1024, 1 << 20);
    check(
        read(&encoded("gzip"), Body::from(bomb), &rules).await,
        Err((413, super::super::error::TOO_LARGE)),
    );
    assert_eq!(
        rules.budget.room.available_permits(),
        1 << 20,
        "its share was given back"
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_share_a_budget() {
    let rules = rules(100, 100);
    let none = HeaderMap::new();
    let first = read(&none, Body::from(vec![b'a'; 60]), &rules)
        .await
        .unwrap();
    let busy = Err((503, "Too many large requests at the same time"));
    check(read(&none, Body::from(vec![b'b'; 60]), &rules).await, busy);
    check(
        read(&none, Body::from(vec![b'c'; 40]), &rules).await,
        Ok(&[b'c'; 40]),
    );
    // The share lasts as long as the last clone of the bytes.
    let clone = first.slice(10..20);
    drop(first);
    check(read(&none, Body::from(vec![b'd'; 60]), &rules).await, busy);
    let waiting = read(&none, Body::from(vec![b'e'; 60]), &rules);
    let freeing = async {
        tokio::task::yield_now().await;
        drop(clone);
    };
    let (read, ()) = tokio::join!(waiting, freeing);
    check(read, Ok(&[b'e'; 60]));
    assert_eq!(rules.budget.room.available_permits(), 40 + 60);
}

#[tokio::test(start_paused = true)]
async fn what_is_inflated_counts_too() {
    let small = rules(1 << 20, 64 * 1024);
    let packed = gzip(&vec![b'x'; 60_000]);
    let held = read(&encoded("gzip"), Body::from(packed.clone()), &small)
        .await
        .unwrap();
    assert_eq!(held.len(), 60_000);
    check(
        read(&encoded("gzip"), Body::from(packed), &small).await,
        Err((503, "Too many large requests at the same time")),
    );
}
