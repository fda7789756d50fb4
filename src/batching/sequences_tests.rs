//! Turns, limits and ends of sequences.

use super::*;

fn limits() -> SequenceLimits {
    let max_idle = Duration::from_secs(60);
    SequenceLimits { max_idle, timeout: None, max_sequences: 2, max_waiting: 1 }
}

fn call(id: &str) -> SequenceCall {
    SequenceCall { id: Some(id.to_owned()), start: false, end: false }
}

#[tokio::test]
async fn requests_of_one_sequence_take_turns_and_others_do_not_wait() {
    let sequences = Sequences::new(limits());
    let first = sequences.turn(&call("a")).await.unwrap();
    let other = sequences.turn(&call("b")).await.unwrap();
    let again = tokio::spawn({
        let sequences = Arc::clone(&sequences);
        async move { sequences.turn(&call("a")).await.map(|turn| turn.id().to_owned()) }
    });
    while lock(&sequences.table).all["a"].waiting.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    // One may wait, not two.
    assert_eq!(sequences.turn(&call("a")).await.err(), Some(SequencesFull));
    drop(first);
    assert_eq!(again.await.unwrap().unwrap(), "a");
    drop(other);
}

#[tokio::test]
async fn their_number_is_bounded_and_an_ended_one_makes_room() {
    let sequences = Sequences::new(limits());
    let unnamed = sequences.turn(&SequenceCall::default()).await.unwrap();
    assert!(unnamed.id().starts_with("ts-seq-"), "{}", unnamed.id());
    let last = SequenceCall { end: true, ..call("b") };
    let turn = sequences.turn(&last).await.unwrap();
    assert_eq!(sequences.turn(&call("c")).await.err(), Some(SequencesFull));
    drop(turn);
    assert_eq!(sequences.count(), 1);
    assert!(sequences.turn(&call("c")).await.is_ok());
}

#[tokio::test]
async fn a_start_begins_anew_and_the_old_one_cannot_end_it() {
    let sequences = Sequences::new(limits());
    let old = sequences.turn(&SequenceCall { end: true, ..call("a") }).await.unwrap();
    let new = sequences.turn(&SequenceCall { start: true, ..call("a") }).await.unwrap();
    assert!(!Arc::ptr_eq(&old.sequence, &new.sequence));
    drop(old);
    assert_eq!(sequences.count(), 1);
}

#[tokio::test]
async fn an_idle_one_ends_by_itself_and_one_in_use_does_not() {
    let max_idle = Duration::ZERO;
    let sequences = Sequences::new(SequenceLimits { max_idle, ..limits() });
    let used = sequences.turn(&call("a")).await.unwrap();
    drop(sequences.turn(&call("b")).await.unwrap());
    while sequences.count() > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(used.id(), "a");
    drop(used);
    while sequences.count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(sequences.turn(&call("a")).await.is_ok());
}

#[tokio::test]
async fn one_that_is_too_old_ends() {
    let timeout = Some(Duration::ZERO);
    let sequences = Sequences::new(SequenceLimits { timeout, ..limits() });
    let old = sequences.turn(&call("a")).await.unwrap();
    while old.sequence.started.elapsed().is_zero() {}
    let new = sequences.turn(&call("a")).await.unwrap();
    assert!(!Arc::ptr_eq(&old.sequence, &new.sequence));
}
