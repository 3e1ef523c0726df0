//! In which order events are delivered that had to wait.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Reply, SHOP, WEB, World, event};

const ERRORS: &str = "/api/browser/errors";
/// These tests look again and again.
const NO_LIMIT: (&str, &str) = ("RATE_LIMIT", "0");
/// Attempts at an event that comes alone until others go first; the batch before, in which it failed first, is one too.
const ATTEMPTS: usize = 3;

fn numbered(number: usize) -> Value {
    let mut event = event();
    event["message"] = json!(number.to_string());
    event
}

fn one_of_two(number: usize) -> &'static str {
    if number.is_multiple_of(3) { SHOP } else { WEB }
}

fn one_site(_: usize) -> &'static str {
    WEB
}

/// Keeps so many events of two sites, one after the other; the tracker stays broken down.
async fn keep(world: &World, count: usize) {
    world.tracker.break_down(true);
    for number in 0..count {
        world
            .browse(ERRORS, one_of_two(number), &numbered(number))
            .await
            .expect(202);
    }
}

/// Numbers that look drawn (SplitMix64, Steele, Lea and Flood, OOPSLA 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What became of the events of each request: their numbers and statuses.
type Judged = Vec<Vec<(usize, u16)>>;

fn judged(world: &World) -> Judged {
    let event = |(message, status): (String, u16)| (message.parse().expect("a number"), status);
    let requests = world.tracker.judged().into_iter();
    requests
        .map(|request| request.into_iter().map(event).collect())
        .collect()
}

/// Each event was taken once; one went before an earlier one only in the batch in which the service failed at that, or
/// after so many attempts at that, or at an event of the same other site. How many did.
#[track_caller]
fn check_order(requests: &Judged, count: usize, site: fn(usize) -> &'static str) -> usize {
    let mut failures: HashMap<usize, usize> = (0..count).map(|number| (number, 0)).collect();
    let mut overtook = 0;
    for request in requests {
        let failed = |number| request.contains(&(number, 503)) || request.contains(&(number, 500));
        for (number, _) in request.iter().filter(|(_, status)| *status == 201) {
            let before = failures.keys().filter(|other| *other < number);
            let here = |other: &&usize| !request.contains(&(**other, 201));
            let passed: Vec<_> = before.filter(here).copied().collect();
            overtook += usize::from(!passed.is_empty());
            for other in passed {
                let of_site = failures.iter().filter(|(another, _)| {
                    **another == other
                        || site(**another) == site(other) && site(other) != site(*number)
                });
                let attempts = of_site.map(|(_, attempts)| *attempts).max();
                assert!(
                    failed(other) || attempts >= Some(ATTEMPTS),
                    "{number} before {other} in {request:?}"
                );
            }
        }
        for (number, status) in request {
            if *status == 201 {
                assert!(failures.remove(number).is_some(), "{number} twice");
            } else if let Some(failures) = failures.get_mut(number) {
                *failures += 1;
            }
        }
    }
    assert_eq!(failures, HashMap::new(), "not delivered");
    overtook
}

#[tokio::test]
async fn events_overtook_others_that_a_service_failed_at_for_now() {
    const COUNT: usize = 150;
    let run = async |seed: u64| {
        let world = World::with(&[NO_LIMIT]);
        keep(&world, COUNT).await;
        let mut state = seed;
        world.tracker.judge(move |_| match draw(&mut state) % 40 {
            0 | 1 => 503,
            2 => 500,
            _ => 201,
        });
        world.tracker.break_down(false);
        world.outbox_empty().await;
        let requests = judged(&world);
        let overtook = check_order(&requests, COUNT, one_of_two);
        let mut failures = HashMap::new();
        for pair in requests.windows(2) {
            let failed = pair[0].iter().filter(|(_, status)| *status != 201);
            let attempts = failed.map(|(number, _)| {
                let attempts: &mut usize = failures.entry(*number).or_default();
                *attempts += 1;
                *attempts
            });
            match attempts.max() {
                // It was passed.
                Some(ATTEMPTS..) => break,
                Some(_) => assert_eq!(pair[1].len(), 1, "seed {seed}: {pair:?}"),
                None => {}
            }
        }
        // Those of the first batch, of which half may stand behind one that failed, and then few.
        assert!(overtook < COUNT * 4 / 5, "seed {seed}: {overtook}");
    };
    join_all((1..=4).map(run)).await;
}

#[tokio::test]
async fn new_events_do_not_go_before_kept_ones() {
    const COUNT: usize = 200;
    let run = async |seed: u64| {
        let world = World::with(&[NO_LIMIT]);
        let mut state = seed;
        world.tracker.judge(move |_| match draw(&mut state) % 25 {
            0 => 503,
            1 => 500,
            _ => 201,
        });
        for number in 0..COUNT {
            let answer = world.browse(ERRORS, WEB, &numbered(number)).await;
            assert!([201, 202].contains(&answer.status.as_u16()));
            if number % 10 == 9 {
                world.outbox_empty().await;
            }
        }
        world.outbox_empty().await;
        let requests = judged(&world);
        check_order(&requests, COUNT, one_site);
        let kept = requests
            .iter()
            .flatten()
            .filter(|(_, status)| *status != 201);
        assert!(kept.count() > 0);
    };
    join_all((1..=4).map(run)).await;
}

#[tokio::test]
async fn nobody_waits_for_ever_behind_what_a_service_always_fails_at() {
    const COUNT: usize = 130;
    let world = World::with(&[NO_LIMIT]);
    keep(&world, COUNT).await;
    // More than a batch of them, until one that stands behind them has gone.
    let mut mended = false;
    world.tracker.judge(move |message| {
        mended |= message == "120";
        let fails = !mended && message.parse::<usize>().is_ok_and(|number| number < 120);
        if fails { 500 } else { 201 }
    });
    world.tracker.break_down(false);
    world.outbox_empty().await;
    let requests = judged(&world);
    let taken = requests
        .iter()
        .flatten()
        .filter(|(_, status)| *status == 201);
    let taken: Vec<_> = taken.map(|(number, _)| *number).collect();
    assert_eq!(
        taken[..10],
        [120, 121, 122, 123, 124, 125, 126, 127, 128, 129]
    );
    assert_eq!(taken.len(), COUNT);
    let alone = |request: &&Vec<(usize, u16)>| ***request == [(0, 500)];
    assert_eq!(requests.iter().filter(alone).count(), ATTEMPTS - 1);
}

/// The tracker takes nothing of one site. Once the other waited ten minutes for its first event, and as long for each next.
#[tokio::test]
async fn a_site_that_a_service_has_no_time_for_does_not_hold_up_others() {
    const COUNT: usize = 330;
    for status in [429, 503, 500] {
        let world = World::with(&[NO_LIMIT]);
        world.tracker.break_down(true);
        // First only those of the one site, more than two batches.
        let site = |number| {
            if number < 220 {
                SHOP
            } else {
                one_of_two(number)
            }
        };
        for number in 0..COUNT {
            let event = numbered(number);
            world.browse(ERRORS, site(number), &event).await.expect(202);
        }
        let of_web = (0..COUNT).filter(|number| site(*number) == WEB).count();
        let mut missing = of_web;
        world.tracker.judge(move |message| {
            let is_web = message.parse().is_ok_and(|number| site(number) == WEB);
            missing -= usize::from(is_web);
            if is_web || missing == 0 { 201 } else { status }
        });
        world.tracker.break_down(false);
        // The manual clock does not move: what is too old, or a limit of time, is not what helped.
        world.outbox_empty().await;
        let requests = judged(&world);
        let is_last = |request: &Vec<(usize, u16)>| {
            request
                .iter()
                .any(|(number, status)| site(*number) == WEB && *status == 201)
        };
        let attempts = requests.iter().rposition(is_last).expect("they went");
        assert!(attempts < 4 * ATTEMPTS, "{status}: {requests:?}");
        let taken = requests
            .iter()
            .flatten()
            .filter(|(_, status)| *status == 201);
        let (web, shop): (Vec<_>, Vec<_>) = taken
            .map(|(number, _)| *number)
            .partition(|number| site(*number) == WEB);
        assert!(web.is_sorted() && web.len() == of_web, "{web:?}");
        assert_eq!(shop.len(), COUNT - of_web);
        assert!(status == 500 || shop.is_sorted(), "{shop:?}");
    }
}

#[tokio::test]
async fn events_that_failed_together_are_kept_in_the_order_in_which_they_came() {
    let world = World::with(&[NO_LIMIT]);
    world.tracker.next(Reply::HangUp);
    let send = async |number: usize| {
        world
            .browse(ERRORS, WEB, &numbered(number))
            .await
            .expect(202)
    };
    join_all((0..60).map(send)).await;
    world.outbox_empty().await;
    let received = world.tracker.received();
    let messages = |body: &[u8]| -> Vec<String> {
        let items: Vec<Value> = serde_json::from_slice(body).expect("a batch");
        let message = |item: &Value| {
            item["document"]["message"]
                .as_str()
                .expect("a text")
                .to_owned()
        };
        items.iter().map(message).collect()
    };
    let together = messages(&received[0].body);
    assert_eq!(together.len(), 60);
    let later: Vec<_> = received[1..]
        .iter()
        .flat_map(|one| messages(&one.body))
        .collect();
    assert_eq!(later, together);
}

#[tokio::test]
async fn what_failed_at_once_waits_for_what_is_still_on_its_way() {
    let world = World::with(&[NO_LIMIT]);
    // Nobody answers the first, which takes a while; the second fails meanwhile.
    world.tracker.next(Reply::Wait);
    world.tracker.next(Reply::Answer("500 Oops", String::new()));
    let first = async { world.browse(ERRORS, WEB, &numbered(0)).await.expect(202) };
    let second = async {
        world.tracker.received_at_least(1).await;
        world.browse(ERRORS, WEB, &numbered(1)).await.expect(202)
    };
    tokio::join!(first, second);
    world.outbox_empty().await;
    world.tracker.release();
    let received = world.tracker.received();
    let batch: Value = serde_json::from_slice(&received[2].body).expect("a batch");
    let messages = [0, 1].map(|place: usize| batch[place]["document"]["message"].clone());
    assert_eq!(messages, ["0", "1"]);
}
